/** Where the app is served, with both slashes: `/app/`; an app that is served from elsewhere lives in the folder of its page. */
export function base(): string {
  return new URL(import.meta.env.BASE_URL, location.href).pathname;
}
