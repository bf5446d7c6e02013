/** What this device calls itself in the list of one's devices. Told from the user agent, and told to nobody but oneself. */

const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdgA?\//, 'Edge'], [/\bOPR\//, 'Opera'], [/SamsungBrowser/, 'Samsung Internet'], [/Firefox|FxiOS/, 'Firefox'],
  [/Chrome|CriOS/, 'Chrome'], [/Safari/, 'Safari'],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/iPhone/, 'iPhone'], [/iPad/, 'iPad'], [/Android/, 'Android'], [/CrOS/, 'ChromeOS'], [/Windows/, 'Windows'],
  [/Macintosh/, 'Mac'], [/Linux/, 'Linux'],
];

/** Such as `Chrome · Android`: names of products, the same in every language. */
export function deviceName(userAgent: string, touchPoints: number): string {
  const browser = BROWSERS.find(([pattern]) => pattern.test(userAgent))?.[1];
  let system = SYSTEMS.find(([pattern]) => pattern.test(userAgent))?.[1];
  // An iPad calls itself a Mac, and has fingers on it.
  if (system === 'Mac' && touchPoints > 1) system = 'iPad';
  return [browser, system].filter((part) => part !== undefined).join(' · ') || 'Browser';
}
