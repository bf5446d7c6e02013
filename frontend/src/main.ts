/** Where the app begins: looks whether it can run in this window, starts the engine, shows the screen. */
import { mount } from 'svelte';
import { createCourtyard } from './engine';
import { base } from './platform/base';
import { loadCatalogue, preferred } from './i18n/languages';
import { App, type InstallPrompt } from './ui/app.svelte';
import { lack } from './ui/door/support';
import { surroundings } from './ui/door/surroundings';
import Root from './ui/shell/Root.svelte';
import { drawer, Prefs } from './ui/shell/prefs';
import { Router } from './ui/shell/router.svelte';
import './ui/style/tokens.css';
import './ui/style/ground.css';
import './ui/style/controls.css';
import './ui/style/lists.css';

interface InstallEvent extends Event, InstallPrompt {}

async function start(): Promise<void> {
  const target = document.getElementById('app');
  if (target === null) throw new Error('the page has no place for the app');
  // The browser offers to install the app early, and only once.
  let offer: InstallPrompt | undefined;
  let app: App | undefined;
  addEventListener('beforeinstallprompt', (event) => {
    event.preventDefault();
    offer = event as InstallEvent;
    if (app !== undefined) app.install = offer;
  });

  const prefs = new Prefs(drawer(window));
  const here = surroundings(navigator, matchMedia('(display-mode: standalone)').matches);
  // An icon on an iPhone must keep the address it was made at, which holds the account (Install.svelte): the manifest that
  // the page names gives no start. Everybody else installs nothing without one, and under /i/
  // complains of it, so it is changed before the browser has looked.
  if (here.system !== 'ios') document.querySelector('link[rel="manifest"]')?.setAttribute('href', `${base()}manifest-start.webmanifest`);
  const why = here.embeddedIn === undefined ? await lack(window) : 'embedded';
  if (why !== undefined) {
    const language = prefs.language ?? preferred(navigator.languages);
    const [t, { default: Lost }] = await Promise.all([loadCatalogue(language), import('./ui/door/Lost.svelte')]);
    document.documentElement.lang = language;
    mount(Lost, { target, props: { why, t, url: location.href, surroundings: here } });
  } else {
    const router = new Router(window, base(), (path) => {
      prefs.last = path;
    });
    app = await App.open(window, createCourtyard(), router, prefs);
    app.install = offer;
    mount(Root, { target, props: { app } });
  }
  document.getElementById('boot')?.remove();
}

await start();
