import { defineCommand } from '../command.js';
import { ExitCode, UsageError } from '../errors.js';
import { writePrivate } from '../private-file.js';

const DEFAULT_BYTES = 32;

export const pskCommand = defineCommand({
  name: 'psk',
  operands: '',
  description: 'Make a pre-shared key that cannot be guessed, of characters that every gateway takes',
  positionals: {},
  options: {
    bytes: {
      type: 'number',
      requiresArg: true,
      default: DEFAULT_BYTES,
      describe: 'Random octets in it, 12 to 96; 32 make 43 letters, digits, - and _',
    },
    file: {
      type: 'string',
      requiresArg: true,
      alias: 'f',
      describe: 'File for psk_file or --psk-file, written with mode 0600; standard output when left out',
    },
  },
  examples: [
    ['psk --file to-b.psk', 'Then psk_file: to-b.psk here, and the same key at the peer'],
    ['psk', 'On standard output'],
  ],
  async run({ bytes, file, output }, terminal) {
    const { newPsk, PSK_BYTES } = await import('../../store/new-psk.js');
    if (!Number.isInteger(bytes) || bytes < PSK_BYTES.min || bytes > PSK_BYTES.max) {
      throw new UsageError(`--bytes takes a whole number from ${PSK_BYTES.min} to ${PSK_BYTES.max}`);
    }
    const psk = newPsk(bytes);
    if (file !== undefined) writePrivate(file, `${psk}\n`);
    if (output === 'json') terminal.json(file === undefined ? { psk, bytes } : { file, bytes });
    else terminal.line(file === undefined ? psk : `${file}: a key of ${bytes} random octets`);
    return ExitCode.done;
  },
});
