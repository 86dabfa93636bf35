import { spawn } from 'node:child_process';
import t from 'tap';
import { HelperProgram } from '../helpers/helper-program.js';

function helper(...argv: string[]): HelperProgram {
  return new HelperProgram(argv[0]!, spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] }));
}

t.test('a program that is not installed fails every wait at once', async (t) => {
  const missing = { message: /no-such-program cannot be started: .*ENOENT/ };
  await t.rejects(helper('no-such-program').firstOutput(), missing);
  await t.rejects(
    helper('no-such-program').until(() => false),
    missing,
  );
  const over = helper('no-such-program');
  await over.ended;
  await t.rejects(over.stop(), missing);
});

t.test('so does one that another program does not find, and one that ends too early', async (t) => {
  const indirect = helper('sh', '-c', 'exec no-such-program');
  await t.rejects(indirect.firstOutput(), { message: /sh ended with 127: is it installed\? .*not found/ });
  const early = helper('sh', '-c', 'echo no device >&2; exit 3');
  await t.rejects(
    early.until(() => false),
    { message: 'sh ended with 3 no device' },
  );
});

t.test('one that runs is waited for and stopped', async (t) => {
  const running = helper('sh', '-c', 'echo ready; exec sleep 300');
  t.equal(await running.firstOutput(), 'ready\n');
  let looks = 0;
  await running.until(() => ++looks === 2);
  await running.stop();
});
