/** More names than these are counted. */
const MAX_NAMED = 3;

/** One line for each message, in the order of its first connection: `a: MESSAGE (the same for 499 more)`; the message alone without one. */
export function foldEqual(
  items: readonly { readonly connection: string | null; readonly message: string }[],
): string[] {
  const byMessage = new Map<string, (string | null)[]>();
  for (const { connection, message } of items) {
    byMessage.set(message, [...(byMessage.get(message) ?? []), connection]);
  }
  return [...byMessage].map(([message, [first, ...others]]) => {
    if (first === null) return message;
    if (others.length === 0) return `${first}: ${message}`;
    const whom = others.length <= MAX_NAMED ? others.join(', ') : `${others.length} more`;
    return `${first}: ${message} (the same for ${whom})`;
  });
}
