import { CliError } from '../errors.js';

/** Characters of the longest message that is taken. */
const MAX_MESSAGE = 1024 * 1024;

/** A message of a stream of server-sent events, as far as it is used here. */
interface StreamMessage {
  readonly id?: string;
  readonly data?: string;
}

/** Reads server-sent events (HTML Living Standard, section 9.2.6), from text that comes in pieces. */
export class MessageReader {
  #rest = '';

  /** The messages that are whole now. @throws CliError for one that has no end */
  push(text: string): StreamMessage[] {
    const blocks = (this.#rest + text).replaceAll('\r\n', '\n').split('\n\n');
    this.#rest = blocks.pop() ?? '';
    if (this.#rest.length > MAX_MESSAGE) throw new CliError('the server sent an event that has no end');
    return blocks.map(messageOf);
  }
}

function messageOf(block: string): StreamMessage {
  const data: string[] = [];
  let id: string | undefined;
  for (const line of block.split('\n')) {
    const [, name, value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (name === 'id') id = value;
    if (name === 'data') data.push(value);
  }
  return { ...(id === undefined ? {} : { id }), ...(data.length === 0 ? {} : { data: data.join('\n') }) };
}
