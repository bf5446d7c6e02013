// What is loaded with the first screen may say only the first screen's words: the others are not there yet (App.t throws).
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const src = fileURLToPath(new URL('../..', import.meta.url));
/** `import … from './x'` and `import './x'`; neither `import type` nor `import('./x')`, which waits. */
const imports = /^\s*(?:import|export)\s+(?!type\b)(?:[^'"();]*?\bfrom\s+)?['"](\.{1,2}\/[^'"]+)['"]/gmu;

/** Every file of ours that comes with main.ts. */
function withMain(): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  const take = (path: string): void => {
    if (texts.has(path)) return;
    const text = readFileSync(path, 'utf8');
    texts.set(path, text);
    for (const [, wanted] of text.matchAll(imports)) {
      if (wanted === undefined || wanted.endsWith('.css')) continue;
      const plain = join(dirname(path), wanted);
      take(existsSync(`${plain}.ts`) ? `${plain}.ts` : plain);
    }
  };
  take(join(src, 'main.ts'));
  return texts;
}

test('the first screen says only words that are loaded with it', () => {
  const first = withMain();
  const names = [...first.keys()].map((path) => relative(src, path));
  // The walk has found the first screen, and has not gone through what waits.
  expect(names).toEqual(expect.arrayContaining(['ui/app.svelte.ts', 'ui/shell/Rooms.svelte', 'ui/chats/ChatRow.svelte', 'ui/parts/Tick.svelte']));
  expect(names).not.toContain('ui/talk/Conversation.svelte');
  for (const [path, text] of first) if (path.endsWith('.svelte')) expect(text, relative(src, path)).not.toMatch(/\bapp\.t\b/u);
});

test('no catalogue loads another language’s words', () => {
  const folder = join(src, 'i18n');
  for (const language of ['en', 'zh-Hans', 'zh-Hant']) {
    for (const name of [`${language}.ts`, ...readdirSync(join(folder, language)).map((file) => join(language, file))]) {
      for (const [, wanted] of readFileSync(join(folder, name), 'utf8').matchAll(imports)) {
        const target = relative(folder, join(folder, dirname(name), wanted ?? ''));
        expect(target.split('/')[0], `${name} imports ${target}`).toBe(language);
      }
    }
  }
});
