import t from 'tap';
import { espEnds, espForm } from '../../src/ike/path/carriage.js';
import { EAST, type Pair, pair, type SimNode, WEST } from '../helpers/engine-pair.js';
import { v1Pair } from '../helpers/v1-pair.js';

const NO_NAT = { local: false, peer: false };

t.test('the form of ESP: what the configuration wants, and what the peer can', async (t) => {
  const form = (natTraversal: boolean, nat: typeof NO_NAT, encapsulation: 'always' | 'auto') =>
    espForm({ natTraversal, nat }, { encapsulation });
  t.equal(form(true, NO_NAT, 'auto'), 'esp');
  t.equal(form(true, { local: true, peer: false }, 'auto'), 'udp');
  t.equal(form(true, { local: false, peer: true }, 'auto'), 'udp');
  t.equal(form(true, NO_NAT, 'always'), 'udp');
  t.equal(form(false, NO_NAT, 'auto'), 'esp');
  t.equal(form(false, NO_NAT, 'always'), undefined);
});

t.test('ESP in UDP goes to port 4500 only (RFC 7296 §2.23)', async (t) => {
  const path = { natTraversal: true, nat: NO_NAT };
  const at = (port: number) => ({ local: { address: EAST, port }, remote: { address: WEST, port } });
  const on500 = { ...path, ...at(500), natTraversalPort: false };
  t.same(espEnds(on500, 'udp'), {
    local: { address: EAST, port: 4500 },
    peer: { address: WEST, port: 4500 },
  });
  t.same(espEnds({ ...on500, remote: { address: WEST, port: 1025 } }, 'udp').peer.port, 4500);
  t.same(espEnds(on500, 'esp').peer, { address: WEST, port: 500 });
  const mapped = { ...path, ...at(4500), remote: { address: WEST, port: 40_001 }, natTraversalPort: true };
  t.same(espEnds(mapped, 'udp').peer.port, 40_001, 'behind a NAT it has the port of the mapping');
});

/** NAT detection of version 2, in the messages themselves before their sender signs them. */
function withoutDetection({ sim }: Pair): void {
  const wanted = [0, 28, 0, 0, 0x40];
  sim.net.impair(
    ({ name, bytes }) => {
      if (!name.startsWith('IKE_SA_INIT')) return false;
      for (let at = 28; at < bytes.length - 5; at++) {
        const found = wanted.every((octet, i) => bytes[at + i] === octet) && [4, 5].includes(bytes[at + 5]!);
        if (found) bytes[at + 4] = 0x5f;
      }
      return false;
    },
    { kind: 'drop' },
  );
}

/** Vendor ids of version 1 are not authenticated. */
function withoutVendorIds({ sim }: Pair): void {
  const spoil = (bytes: Uint8Array): Uint8Array => {
    for (let at = 28, type = bytes[16]!; type !== 0 && at + 4 < bytes.length; ) {
      const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
      if (type === 13) bytes.fill(0x5f, at + 4, at + length);
      type = bytes[at]!;
      at += length;
    }
    return bytes;
  };
  sim.net.impair(
    (packet) => packet.bytes[18] === 2 && (packet.bytes[19]! & 1) === 0,
    {
      kind: 'corrupt',
      change: spoil,
    },
    1000,
  );
}

const causes = (node: SimNode) => [
  ...new Set(
    [...node.eventsOf('ike-failed'), ...node.eventsOf('child-failed')].map((one) => one.failure.cause),
  ),
];
const installs = ({ outputs }: SimNode) => outputs.filter(({ kind }) => kind === 'install-child').length;

for (const [version, make, deafen] of [
  ['IKEv2', pair, withoutDetection],
  ['IKEv1', v1Pair, withoutVendorIds],
] as const) {
  for (const [role, patch] of [
    ['initiator', { east: { encapsulation: 'always' }, west: { encapsulation: 'auto' } }],
    ['responder', { east: { encapsulation: 'auto' }, west: { encapsulation: 'always' } }],
  ] as const) {
    t.test(`${version}: "always" as ${role} beside a peer without NAT traversal`, async (t) => {
      const made = make(patch);
      deafen(made);
      made.sim.initiate(made.east);
      made.sim.run(120_000);
      const wanting = role === 'initiator' ? made.east : made.west;
      t.same(causes(wanting), ['nat_traversal_unsupported']);
      t.equal(installs(made.east) + installs(made.west), 0, 'nothing is agreed on that cannot be carried');
      t.equal(wanting.ikes.size, 0);
    });
  }

  t.test(`${version}: "auto" beside such a peer sends IP protocol 50`, async (t) => {
    const made = make({ east: { encapsulation: 'auto' }, west: { encapsulation: 'auto' } });
    deafen(made);
    made.sim.initiate(made.east);
    made.sim.run(5000);
    t.same(
      [...made.east.children.values()].map(({ encapsulation }) => encapsulation),
      ['esp'],
    );
  });
}
