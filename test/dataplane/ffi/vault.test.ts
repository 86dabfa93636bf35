import { readFileSync } from 'node:fs';
import t from 'tap';
import { choosePacketCrypto } from '../../../src/dataplane/ffi/crypto/choose-crypto.js';
import { At, createArena, useArena, Vaulted } from '../../../src/dataplane/ffi/memory/arena.js';
import { espLayout } from '../../../src/esp/layout.js';
import { backend, CBC, GCM, keyMaker, random } from '../../helpers/packet-bench.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';

const skip = skipWithoutFfi();

/** Mappings of this process in order of their addresses. */
function mappings(): { from: number; to: number; rights: string }[] {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [range, rights] = line.split(' ') as [string, string];
      const [from, to] = range.split('-').map((hex) => Number.parseInt(hex, 16)) as [number, number];
      return { from, to, rights };
    });
}

t.test(
  'keys and calls stand in a mapping of their own, between pages that nobody may touch',
  { skip },
  async (t) => {
    const arena = createArena();
    const { vault } = arena;
    t.equal(arena.far, vault.base - arena.base);
    t.ok(vault.bytes.length > Vaulted.keySlots);
    const all = mappings();
    const at = all.findIndex(({ from, to }) => from <= vault.base && vault.base < to);
    const own = all[at]!;
    t.notOk(own.from <= arena.base && arena.base < own.to, 'not that of the packets');
    t.equal(own.rights.slice(0, 2), 'rw');
    const [before, behind] = [all[at - 1]!, all[at + 1]!];
    for (const [name, guard, adjoins] of [
      ['before', before, before.to === own.from],
      ['behind', behind, behind.from === own.to],
    ] as const) {
      t.ok(adjoins, `a mapping right ${name} it`);
      t.equal(guard.rights.slice(0, 3), '---');
      t.ok(guard.to - guard.from >= 2 ** 31, 'larger than any offset that a packet could make');
    }
    const again = useArena(arena.memory, vault.memory);
    t.equal(again.vault.base, vault.base, 'another thread finds it at the same address');
  },
);

t.test('no key and no address of a function is among the packets', { skip }, async (t) => {
  for (const suite of [GCM, CBC]) {
    const arena = createArena();
    const { crypto } = choosePacketCrypto(arena, backend, random);
    const keys = keyMaker(suite);
    const before = arena.bytes.slice();
    const sealer = crypto.sealer(suite, 257, keys());
    const opener = crypto.opener(suite, keys());
    const inner = At.inner + 64;
    arena.bytes.fill(0x45, inner, inner + 100);
    sealer.seal(inner, 100, 4, 1, At.plain);
    sealer.complete();
    const changed: number[] = [];
    for (let i = 0; i < before.length; i++) if (arena.bytes[i] !== before[i]) changed.push(i);
    const within = (offset: number) =>
      (offset >= At.inner && offset < At.inner + 1024) || (offset >= At.plain && offset < At.plain + 1024);
    t.same(
      changed.filter((offset) => !within(offset)),
      [],
      'sealing writes the packet, and nothing else there',
    );
    const { keyLength } = espLayout(suite);
    const key = Buffer.from(keys().encryption.expose().slice(0, keyLength));
    t.equal(Buffer.from(arena.bytes.slice()).indexOf(key), -1);
    sealer.free();
    opener.free();
    t.ok(
      arena.vault.bytes.subarray(Vaulted.keySlots, Vaulted.keySlots + 8192).every((octet) => octet === 0),
      'wiped when they are given back',
    );
  }
});
