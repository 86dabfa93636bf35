/** Longest text that is compared: a name of ours is never longer, and the work grows with the square. */
const MAX_COMPARED = 64;

/**
 * The known word that was most likely meant, or undefined when none is near: at most a third of the letters
 * (and at least one) may differ, swapped neighbours count once, case and the choice of - or _ not at all.
 */
export function nearestWord(typed: string, known: Iterable<string>): string | undefined {
  if (typed.length > MAX_COMPARED) return undefined;
  const word = fold(typed);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const name = fold(candidate);
    // A word that is cut off is meant more often than another one that is misspelt: sha2 is sha256, not sha1.
    const distance = word.length >= 3 && name !== word && name.startsWith(word) ? 0.5 : slips(word, name);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function fold(text: string): string {
  return text.toLowerCase().replaceAll('-', '_');
}

/** Optimal string alignment distance: insertions, deletions, substitutions, swaps of neighbours. */
export function slips(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    const above = rows[i - 1]!;
    for (let j = 1; j <= b.length; j++) {
      const substituted = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(substituted, above[j]! + 1, row[j - 1]! + 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
