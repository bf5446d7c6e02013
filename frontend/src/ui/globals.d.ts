/** Set by Vite from package.json. */
declare const __VERSION__: string;
/** origin of the courtyard, in an app that is served from elsewhere */
declare const __API__: string | undefined;
