/** In the store's settings: the call that this device rang, for its note should the page end. Whoever opens the app looks there before anything of calls is loaded. */
export const LEFT = 'call';
