/** A value of `swanctl --raw`: a text, a list or a section. */
export type ViciValue = string | ViciValue[] | { [key: string]: ViciValue };

/**
 * Reads the sections `swanctl --raw` prints, for example `list-sa event {c {uniqueid=1 state=UP
 * child-sas {…} local-ts=[10.1.0.0/24]}}`, one after the other.
 */
export function parseViciText(text: string): { title: string; body: { [key: string]: ViciValue } }[] {
  const found: { title: string; body: { [key: string]: ViciValue } }[] = [];
  let at = 0;

  const skip = (): void => {
    while (/\s/.test(text[at] ?? '')) at++;
  };
  const word = (stop: RegExp): string => {
    const start = at;
    while (at < text.length && !stop.test(text[at]!)) at++;
    return text.slice(start, at);
  };
  const list = (): ViciValue[] => {
    const items: ViciValue[] = [];
    at++;
    for (skip(); at < text.length && text[at] !== ']'; skip()) items.push(word(/[\s\]]/));
    at++;
    return items;
  };
  const section = (): { [key: string]: ViciValue } => {
    const body: { [key: string]: ViciValue } = {};
    at++;
    for (skip(); at < text.length && text[at] !== '}'; skip()) {
      const key = word(/[\s={}[\]]/);
      if (text[at] === '=') {
        at++;
        body[key] = text[at] === '[' ? list() : word(/[\s}]/);
      } else {
        skip();
        if (text[at] !== '{')
          throw new Error(`swanctl printed something else than expected at ${at}: ${text}`);
        body[key] = section();
      }
    }
    at++;
    return body;
  };

  for (skip(); at < text.length; skip()) {
    const title = word(/\{/).trim();
    if (at >= text.length) break;
    found.push({ title, body: section() });
  }
  return found;
}
