import t from 'tap';
import { plainArguments } from '../../src/cli/plain-arguments.js';

const command = {
  options: {
    control: { type: 'string', requiresArg: true, demandOption: true },
    seconds: { type: 'number', default: 60 },
    level: { choices: ['info', 'warn'], default: 'info' },
    clean: { type: 'boolean', default: false },
  },
} as const;

t.test('reads what a program writes, with the defaults of the rest', async (t) => {
  t.same(plainArguments(command, ['--control', '/run/a b.sock']), {
    control: '/run/a b.sock',
    seconds: 60,
    level: 'info',
    clean: false,
  });
  t.same(plainArguments(command, ['--clean', '--level', 'warn', '--control', 'x', '--seconds', '0']), {
    control: 'x',
    seconds: 0,
    level: 'warn',
    clean: true,
  });
});

t.test('leaves everything else to the parser that explains mistakes', async (t) => {
  for (const line of [
    '',
    '--control',
    '--control x y',
    '--control=x',
    '--control x --control y',
    '--control x --seconds ten',
    '--control x --seconds -1',
    '--control x --seconds 1e3',
    '--control x --level loud',
    '--control x --level',
    '--control --clean',
    '--control x --clean true',
    '--control x --help',
    '--control x --unknown y',
    '--control x --constructor y',
    '-control x',
    'control x',
  ]) {
    const argv = line === '' ? [] : line.split(' ');
    t.equal(plainArguments(command, argv), undefined, line);
  }
});
