import t from 'tap';
import { CallList } from '../../../src/dataplane/ffi/crypto/call-list.js';
import { loadOpenssl } from '../../../src/dataplane/ffi/crypto/openssl.js';
import { createArena, MAX_CALLS, rxPacket, Vaulted } from '../../../src/dataplane/ffi/memory/arena.js';
import { callRunner } from '../../../src/linux/call-runner.js';
import { ffiAvailable, type NativeFunction, openLibrary } from '../../../src/linux/ffi.js';

const ffi = ffiAvailable();
const skip = ffi.ok ? false : `no FFI: ${ffi.reason}`;

interface Setting {
  readonly arena: ReturnType<typeof createArena>;
  readonly list: CallList;
  readonly memcpy: NativeFunction;
  readonly memcmp: NativeFunction;
}

function setting(runner: ReturnType<typeof callRunner>): Setting {
  const probe = loadOpenssl();
  if (!probe.ok) throw new Error(probe.reason);
  const arena = createArena();
  const { memcpy, CRYPTO_memcmp: memcmp } = probe.openssl.native;
  return { arena, list: new CallList(arena, Vaulted.sealCalls, runner), memcpy, memcmp };
}

/** By machine code where there is some, and by JavaScript everywhere. */
const runners: [string, ReturnType<typeof callRunner>][] = [['JavaScript', null]];
if (ffi.ok && callRunner() !== null) runners.push(['machine code', callRunner()]);

t.test('machine code runs on x86-64', { skip: skip || process.arch !== 'x64' }, async (t) => {
  t.type(callRunner(), 'function');
  t.equal(callRunner(), callRunner(), 'one page for a thread');
});

for (const [name, runner] of runners) {
  t.test(
    `${name}: calls are made in order, until one does not answer what is wanted`,
    { skip },
    async (t) => {
      const { arena, list, memcpy, memcmp } = setting(runner);
      const { base, bytes } = arena;
      const [a, b, c] = [rxPacket(1), rxPacket(2), rxPacket(3)];
      bytes.set([1, 2, 3, 4], a);
      list.set(0, memcpy, undefined, [base + b, base + a, 4]);
      list.set(1, memcmp, 0, [base + b, base + a, 4]);
      list.set(2, memcpy, undefined, [base + c, base + b, 0]);
      list.put(2, 2, 3);
      t.equal(list.run(3), 3);
      t.same([...bytes.subarray(c, c + 4)], [1, 2, 3, 0]);
      t.equal(list.run(0), 0);

      list.set(0, memcpy, undefined, [base + b, base + a, 0]);
      bytes[b + 3] = 9;
      bytes.fill(0, c, c + 4);
      t.equal(list.run(3), 1, 'the comparison fails');
      t.same([...bytes.subarray(c, c + 4)], [0, 0, 0, 0], 'nothing behind it is done');

      list.point(1, 1, b);
      t.equal(list.run(3), 3, 'compared with itself');
      t.same([...bytes.subarray(c, c + 4)], [1, 2, 3, 0]);
    },
  );

  t.test(`${name}: a full list, six arguments, results of 32 bits`, { skip }, async (t) => {
    const { arena, list, memcpy } = setting(runner);
    const { base, bytes } = arena;
    const at = rxPacket(1);
    bytes[at] = 7;
    for (let i = 0; i < MAX_CALLS; i++) list.set(i, memcpy, undefined, [base + at + i + 1, base + at + i, 1]);
    t.equal(list.run(MAX_CALLS), MAX_CALLS);
    t.same(
      [...bytes.subarray(at, at + MAX_CALLS + 2)],
      [...new Array(MAX_CALLS + 1).fill(7), 0],
      'each took what the one before wrote',
    );

    const snprintf = openLibrary(null).native('snprintf', 'int', [
      ...['uintptr_t', 'size_t', 'uintptr_t'],
      ...['uintptr_t', 'uintptr_t', 'uintptr_t'],
    ]);
    const format = rxPacket(2);
    bytes.set(Buffer.from('%d,%d,%d\0'), format);
    list.set(0, snprintf, 9, [base + at, 64, base + format, 1, 22, 3333]);
    t.equal(list.run(1), 1, 'nine characters as wanted');
    t.equal(Buffer.from(bytes.subarray(at, at + 9)).toString(), '1,22,3333');

    const abs = openLibrary(null).native('abs', 'int', ['int']);
    const negative = openLibrary(null).native('atoi', 'int', ['uintptr_t']);
    bytes.set(Buffer.from('-5\0'), format);
    list.set(0, negative, 0xfffffffb, [base + format]);
    list.set(1, abs, 6, [5]);
    t.equal(list.run(2), 1, 'minus five as wanted, then five and not six');
  });
}
