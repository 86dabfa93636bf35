/** One log line for people: time, level, connection, message, then what is left as key=value. */

const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

/** Fields that have their own place in the line or say nothing to a person. */
const PLACED = new Set(['level', 'time', 'msg', 'connection', 'gateway', 'event']);

/**
 * The text form of one JSON log line, ending in a line feed. A line that is no JSON object is passed on as it
 * is: a log must not lose what it cannot read.
 */
export function textLine(json: string): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return json.endsWith('\n') ? json : `${json}\n`;
  }
  const level = (LEVELS[Number(record.level)] ?? String(record.level)).toUpperCase().padEnd(5);
  const connection = record.connection === undefined ? '' : `${plain(record.connection)}: `;
  const rest = Object.entries(record)
    .filter(([key]) => !PLACED.has(key))
    .map(([key, value]) => ` ${key}=${plain(value)}`)
    .join('');
  return `${plain(record.time)} ${level} ${connection}${plain(record.msg ?? '')}${rest}\n`;
}

/** Control characters are escaped: what a peer sends cannot move a terminal's cursor or forge a line. */
function plain(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to escape
    /[\u0000-\u001f\u007f-\u009f]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
