/** Whether a name is meant: by itself, or by a pattern in which `*` matches any text and `?` for one character. */
export function isMeant(pattern: string, name: string): boolean {
  if (!isPattern(pattern)) return pattern === name;
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`).test(name);
}

/** Returns whether the text has wildcards, and so does not name one thing. */
export function isPattern(text: string): boolean {
  return /[*?]/.test(text);
}
