import { slips } from '../util/nearest.js';

/** The known word nearest to what was typed, when it is near enough to be a slip of the finger. */
export function nearest(typed: string, known: readonly string[]): string | undefined {
  const limit = Math.max(2, Math.floor(typed.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const word of known) {
    // A cut-off word is meant more often than a misspelt other one: `--conf` is `--config`.
    const distance = typed.length >= 3 && word.startsWith(typed) ? 0.5 : slips(typed, word);
    if (distance < bestDistance) {
      best = word;
      bestDistance = distance;
    }
  }
  return best;
}

/** `; did you mean "X"?`, or nothing. */
export function suggestion(typed: string, known: readonly string[], prefix = ''): string {
  const word = nearest(typed, known);
  return word === undefined ? '' : `; did you mean "${prefix}${word}"?`;
}
