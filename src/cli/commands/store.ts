import { resolve } from 'node:path';
import { countOf } from '../amounts.js';
import { defineCommand } from '../command.js';
import { CliError, ExitCode, UsageError } from '../errors.js';
import { describeErrors } from '../gateway-config.js';
import { readInput, refuseInput } from '../read-input.js';

const PLACE = 'sqlite:FILE, or etcd: for the one that --config names';

export const storeCommand = defineCommand({
  name: 'store',
  operands: '<action>',
  description: 'Copy the store of an API server from a file into etcd, or back',
  positionals: {
    action: {
      choices: ['copy'] as const,
      demandOption: true,
      describe: 'copy: everything, with ids, revisions and audit records, into an empty store',
    },
  },
  options: {
    config: {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'Configuration of the server with "store.etcd" and "sealing_key_file"',
    },
    from: { type: 'string', requiresArg: true, demandOption: true, describe: `What is copied: ${PLACE}` },
    to: { type: 'string', requiresArg: true, demandOption: true, describe: `Where to: ${PLACE}` },
  },
  examples: [
    [
      'store copy --config site.yaml --from sqlite:/var/lib/culvert/store.db --to etcd:',
      'Before the first start with "store.etcd"',
    ],
    ['store copy --config site.yaml --from etcd: --to sqlite:/var/lib/culvert/back.db', 'The way back'],
  ],
  epilogue:
    'End the servers first, with "on_stop: keep" no tunnel goes down: what is written meanwhile is not copied. The\n' +
    'pre-shared keys are sealed in the copy by "sealing_key_file". A copy that was cut off is begun again.\n' +
    'Exit codes: 0 done, 1 it failed, 2 wrong usage.',
  async run(args, terminal) {
    const { file, to } = endsOf(args.from, args.to);
    const path = args.config;
    refuseInput('--config', path);
    const { readServeFile } = await import('../../daemon/serve/serve-file.js');
    const read = readServeFile(readInput(path, 'the configuration file'), path);
    if (!read.ok) {
      if (args.output === 'json') terminal.json({ ok: false, file: path, errors: read.error });
      else terminal.note(describeErrors(path, read.error));
      return ExitCode.failed;
    }
    const { store, sealingKeyFile } = read.value;
    if (store.engine !== 'etcd') {
      throw new CliError(`${path} names no "store.etcd"; name the file that the server is to start with`);
    }
    const { copyStore } = await import('../../daemon/serve/copy-store.js');
    const { revision, objects, notes } = await copyStore({
      ...{ etcd: store, file: resolve(file), to, sealingKeyFile },
    });
    const counts = { revision, objects: objects.length, notes: notes.length };
    if (args.output === 'json') terminal.json(counts);
    else {
      const many = [countOf(counts.objects, 'object'), countOf(counts.notes, 'audit record')].join(' and ');
      terminal.line(`done: ${many}, at revision ${revision}`);
    }
    return ExitCode.done;
  },
});

/** @throws UsageError unless one end is a file and the other one etcd */
function endsOf(from: string, to: string): { readonly file: string; readonly to: 'etcd' | 'sqlite' } {
  for (const [name, value] of [
    ['--from', from],
    ['--to', to],
  ] as const) {
    if (value !== 'etcd:' && !/^sqlite:./.test(value)) {
      throw new UsageError(`${name} does not take "${value.slice(0, 60)}"; it takes ${PLACE}`);
    }
  }
  if ((from === 'etcd:') === (to === 'etcd:')) {
    throw new UsageError('--from and --to: one of them is sqlite:FILE and the other one etcd:');
  }
  const [file] = [from, to].flatMap((value) => /^sqlite:(.+)$/s.exec(value)?.[1] ?? []);
  return { file: file!, to: to === 'etcd:' ? 'etcd' : 'sqlite' };
}
