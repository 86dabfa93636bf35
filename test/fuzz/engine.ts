import { InboundSa } from '../../src/esp/open.js';
import { OutboundSa } from '../../src/esp/seal.js';
import { SelectorSet } from '../../src/esp/selectors.js';
import type { ConnectionConfig } from '../../src/ike/config.js';
import { Engine } from '../../src/ike/engine.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import type { ChildSa } from '../../src/ike/outputs.js';
import { equalBytes } from '../../src/util/bytes.js';
import { SecretKey } from '../../src/util/secret.js';
import { connection, EAST, SimNode, Simulation, WEST } from '../helpers/engine-pair.js';
import { innerPacket } from '../helpers/esp.js';
import { asInput, mutate } from '../helpers/mutated-datagram.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { createToyBackend } from '../helpers/toy-crypto.js';
import { AuthenticMutations } from './authentic-mutations.js';
import { type FuzzPart, hold, pick } from './part.js';

const EVIL = '192.0.2.3';
/** Virtual seconds that the malicious peer is at work. */
const ROUNDS = 60;
/** What one peer may keep of child SAs; any bound that does not grow with the time it is at work. */
const MAX_CHILDREN = 64;

const toy = createToyBackend();

/** One gateway, an honest peer and one that has the right key for its own connection and sends what it likes. */
class Scene {
  readonly sim: Simulation;
  readonly gateway: SimNode;
  readonly honest: SimNode;
  readonly evil: SimNode;
  readonly mutations: AuthenticMutations;

  constructor(random: SeededRandom) {
    const version = random.below(2) === 0 ? 1 : 2;
    const speaks = { initiateVersion: version, acceptVersions: [1, 2] } as const;
    const honest = { ...speaks, initiateVersion: pick(random, [1, 2] as const), id: 'honest' };
    const evil = {
      ...speaks,
      id: 'evil',
      childLifetime: 20 + random.below(40),
      ikeLifetime: 60 + random.below(60),
    };
    this.sim = new Simulation({ seed: random.u32(), crypto: toy });
    this.honest = this.sim.addNode('honest', EAST, { connections: [connection('east', honest)] });
    const twoNetworks = random.below(2) === 0 ? ['10.3.0.0/24'] : ['10.3.0.0/24', '10.4.0.0/24'];
    const there = { addresses: [EVIL], identity: 'evil.example', cidrs: twoNetworks };
    const own: ConnectionConfig[] = [
      connection('west', honest),
      connection('west', { ...evil, childLifetime: 3600, ikeLifetime: 28_800, peer: there }),
    ];
    this.gateway = this.sim.addNode('gateway', WEST, { connections: own });
    this.mutations = new AuthenticMutations(new SeededRandom(random.u32()));
    const here = { address: EVIL, identity: 'evil.example', cidrs: twoNetworks };
    this.evil = new SimNode(
      'evil',
      EVIL,
      new Engine({
        crypto: this.mutations.backend(),
        random: new SeededRandom(random.u32()),
        limits: DEFAULT_LIMITS,
        config: { connections: [connection('east', { ...evil, local: here })] },
      }),
    );
    this.sim.nodes.push(this.evil);
  }

  /** The honest tunnel, once and for all of this scene. */
  begin(): void {
    this.sim.initiate(this.honest, 'honest');
    this.sim.run(this.sim.now + 2000);
    hold(this.honest.children.size === 1, 'the honest peer did not come up');
    this.judgeHonest();
  }

  /** One virtual second of malice. Answers with the number of datagrams that were made for it. */
  round(random: SeededRandom): number {
    const { sim, evil, gateway } = this;
    this.mutations.share = pick(random, [0, 20, 50, 100]);
    const act = random.below(10);
    if (act < 4 || evil.ikes.size === 0) sim.initiate(evil, 'evil');
    else if (act === 4) sim.input(evil, { kind: 'terminate', connection: 'evil' });
    let forged = 0;
    const sent = sim.net.sent.filter(({ to, from }) => to.address === WEST && from.address === EVIL);
    for (let i = random.below(4); i > 0 && sent.length > 0; i--, forged++) {
      const packet = pick(random, sent);
      sim.input(
        gateway,
        asInput(packet, random.below(4) === 0 ? packet.bytes : mutate(packet.bytes, random)),
      );
    }
    // A stranger with the honest peer's address: nothing of it is authentic.
    const heard = sim.net.sent.filter(({ to, from }) => to.address === WEST && from.address === EAST);
    if (heard.length > 0 && random.below(3) === 0) {
      const packet = pick(random, heard);
      const bytes = mutate(packet.bytes, random);
      if (!heard.some((one) => equalBytes(one.bytes, bytes))) sim.input(gateway, asInput(packet, bytes));
      forged++;
    }
    sim.run(sim.now + 1000);
    return forged;
  }

  judgeHonest(): void {
    const { honest, gateway } = this;
    for (const node of [honest, gateway]) {
      const closed = node.eventsOf('ike-closed').filter((event) => event.connection === 'honest');
      hold(closed.length === 0, `${node.name}: the honest IKE SA was closed`);
      const lost = node.eventsOf('child-closed').filter((event) => event.connection === 'honest');
      hold(lost.length === 0, `${node.name}: the honest child SA was closed`);
    }
    const theirs = [...honest.children.values()];
    const ours = [...gateway.children.values()].filter((child) => child.connection === 'honest');
    hold(theirs.length === 1 && ours.length === 1, `${theirs.length} and ${ours.length} honest child SAs`);
    carry(theirs[0]!, ours[0]!, innerPacket('10.1.0.9', '10.2.0.9', 200));
    carry(ours[0]!, theirs[0]!, innerPacket('10.2.0.9', '10.1.0.9', 100));
  }

  judgeTables(): void {
    const { gateway } = this;
    const { halfOpen, sources } = gateway.engine.sizes;
    hold(gateway.children.size <= MAX_CHILDREN, `${gateway.children.size} child SAs`);
    hold(halfOpen <= DEFAULT_LIMITS.halfOpenPerSource, `${halfOpen} half-open SAs of one source`);
    hold(sources <= 3, `${sources} sources are remembered`);
  }

  /** When the malicious peer has gone, nothing of it is left. */
  end(): void {
    const { sim, gateway } = this;
    sim.nodes.splice(sim.nodes.indexOf(this.evil), 1);
    sim.input(gateway, { kind: 'terminate', connection: 'evil' });
    sim.run(sim.now + 300_000);
    const { halfOpen, ikeSas } = gateway.engine.sizes;
    hold(halfOpen === 0, `${halfOpen} half-open SAs are left`);
    hold(ikeSas === 1, `${ikeSas} IKE SAs are left where the honest one should be alone`);
    hold(gateway.children.size === 1, `${gateway.children.size} child SAs are left`);
    this.judgeHonest();
  }
}

const copyOf = (key: SecretKey): SecretKey => new SecretKey(key.expose().slice());

function keysOf({ encryption, integrity }: ChildSa['keysIn']): ChildSa['keysIn'] {
  return {
    encryption: copyOf(encryption),
    ...(integrity === undefined ? {} : { integrity: copyOf(integrity) }),
  };
}

/** A packet through the child SA, from one end to the other. */
function carry(from: ChildSa, to: ChildSa, packet: Uint8Array): void {
  const { suite, spiOut: spi } = from;
  const random = new SeededRandom(spi);
  const sealed = new OutboundSa({ spi, suite, keys: keysOf(from.keysOut), crypto: toy, random }).seal(packet);
  hold(sealed.ok, 'the honest tunnel does not seal');
  const selectors = new SelectorSet(to.localTs, to.peerTs);
  const keys = keysOf(to.keysIn);
  const inbound = new InboundSa({
    spi: to.spiIn,
    suite: to.suite,
    keys,
    crypto: toy,
    selectors,
    replayWindow: 64,
  });
  const opened = inbound.open(sealed.value);
  hold(opened.ok && equalBytes(opened.value, packet), `the honest tunnel does not pass a packet`);
}

function run(random: SeededRandom): number {
  const scene = new Scene(random);
  scene.begin();
  let inputs = 0;
  for (let n = 0; n < ROUNDS; n++) {
    inputs += scene.round(random);
    scene.judgeTables();
  }
  scene.judgeHonest();
  scene.end();
  return inputs + scene.mutations.mutated;
}

/**
 * A peer that is authenticated and malicious, under both IKE versions: what it says is mutated under the encryption,
 * repeated and damaged, beside an honest peer whose tunnel must live and pass packets.
 */
export const enginePart: FuzzPart = { name: 'engine', run };
