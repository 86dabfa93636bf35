/** Colours by ECMA-48 SGR codes. Each function leaves the visible text as it is. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
}

function sgr(open: number, close: number): (text: string) => string {
  return (text) => (text === '' ? text : `\u001b[${open}m${text}\u001b[${close}m`);
}

const same = (text: string): string => text;

/** For pipes, files and terminals without colours. */
export const plainStyle: Style = { bold: same, dim: same, good: same, bad: same, warn: same };

/** SGR sequences (ECMA-48 §8.3.117); each style is switched off by itself, so that they can be nested. */
export const colourStyle: Style = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  good: sgr(32, 39),
  bad: sgr(31, 39),
  warn: sgr(33, 39),
};

/** Colours only for a person at a terminal who has not declined them (NO_COLOR set and not empty, TERM=dumb). */
export function chooseStyle(isTty: boolean, env: Readonly<Record<string, string | undefined>>): Style {
  if (!isTty || (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb') return plainStyle;
  return colourStyle;
}
