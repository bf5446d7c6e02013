/** The views that are loaded when they are first wanted; together they are not needed before the first chat list. */
export const views = {
  door: () => import('../door/Door.svelte'),
  nowhere: () => import('../door/Nowhere.svelte'),
  link: () => import('../door/Link.svelte'),
  restore: () => import('../door/Restore.svelte'),
  conversation: () => import('../talk/Conversation.svelte'),
  call: () => import('../call/Call.svelte'),
  newChat: () => import('../chats/NewChat.svelte'),
  wall: () => import('../wall/Wall.svelte'),
  author: () => import('../wall/Author.svelte'),
  friends: () => import('../friends/Friends.svelte'),
  person: () => import('../friends/Person.svelte'),
  me: () => import('../me/Me.svelte'),
  courtyards: () => import('../me/Courtyards.svelte'),
  traffic: () => import('../me/Traffic.svelte'),
  diagnostics: () => import('../me/Diagnostics.svelte'),
  myPage: () => import('../me/MyPage.svelte'),
  alarms: () => import('./Alarms.svelte'),
} as const;

/** Brings the views near while nothing else is going on, so that later screens open at once; `words` brings those that the views say. */
export function warm(window: Window, words: () => Promise<unknown>): void {
  const all = [words, views.conversation, views.friends, views.me, views.myPage, views.person, views.newChat, views.wall, views.author];
  const next = (): void => {
    const load = all.shift();
    if (load === undefined) return;
    load().then(later, () => {
      // Offline or a changed server: the view is asked for again when it is wanted, and says so if it cannot be had.
    });
  };
  const later = (): void => {
    if ('requestIdleCallback' in window) window.requestIdleCallback(next);
    else setTimeout(next, 300);
  };
  later();
}
