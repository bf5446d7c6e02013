/** Keeps the screen lit while one speaks, where the browser can. Returns the way to stop. */
export function awake(): () => void {
  let over = false;
  let held: WakeLockSentinel | undefined;
  const hold = (): void => {
    if (over || !('wakeLock' in navigator) || document.visibilityState !== 'visible') return;
    navigator.wakeLock.request('screen').then(
      (lock) => {
        if (over) void lock.release();
        else held = lock;
      },
      () => undefined, // a battery that is nearly empty, for one: the call goes on in the dark
    );
  };
  hold();
  // The browser takes it away whenever the page is hidden.
  document.addEventListener('visibilitychange', hold);
  return () => {
    over = true;
    document.removeEventListener('visibilitychange', hold);
    void held?.release();
  };
}
