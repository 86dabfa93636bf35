import { fileURLToPath } from 'node:url';

/** The script this program runs from, for starting another one of it. */
export const programPath = fileURLToPath(new URL('../main.js', import.meta.url));
