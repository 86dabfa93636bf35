import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import { toHex } from '../../src/util/bytes.js';
import { decodeMessage, encodeMessage } from '../../src/wire/ike/message.js';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { pair } from '../helpers/engine-pair.js';
import { addForger, Flood, residentKb } from '../helpers/flood.js';
import { HelperProgram } from '../helpers/helper-program.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { GOALS, type SiegeReport } from '../helpers/siege-peer.js';
import { addInside, createSiteLab, type LabSite, SITE_A, SITE_B, type SiteLab } from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';

const skip = skipWithoutTun();

const SIEGE_PEER = fileURLToPath(new URL('../helpers/siege-peer.ts', import.meta.url));
/** The besieged gateway, its authenticated besieger, and its honest peer. */
const GATEWAY = SITE_B;
const BESIEGER = SITE_A;
const HONEST: LabSite = { node: 'h', address: '192.0.4.2', inside: '10.3.0.1', cidr: '10.3.0.0/24' };

const PER_SECOND = 5000;
/** A busy machine sends fewer a second; the siege lasts until there were as many as these. */
const MIN_FORGED = 20_000;
const MIN_SECONDS = 10;
/** Answers that the ping has at least, so that no loss of them means something. */
const MIN_ANSWERS = 50;
/** What the process may grow by, far above its tables and far below an SA for everything that is asked for. */
const MAX_GROWTH_KB = 150_000;

async function createLab(): Promise<SiteLab> {
  const site = await createSiteLab();
  const { lab } = site;
  await lab.add(HONEST.node);
  await lab.link(
    { node: GATEWAY.node, device: 'honest', addresses: ['192.0.4.1/24'] },
    { node: HONEST.node, device: 'wan', addresses: [`${HONEST.address}/24`] },
  );
  await lab.check(HONEST.node, ['ip', 'route', 'add', `${GATEWAY.address}/32`, 'via', '192.0.4.1']);
  await addInside(lab, HONEST);
  // Each message in one packet: it is the gateway that is besieged, and not the kernel's memory for fragments.
  await addForger(lab, GATEWAY, HONEST.address, 9216);
  return site;
}

/** IKE_SA_INIT requests, one as long as a first message may be and one that is longer. */
function largeRequests(): string[] {
  const donor = pair({ seed: 9 });
  donor.sim.initiate(donor.east);
  const { bytes } = donor.sim.net.sent[0]!;
  const message = decodeMessage(bytes);
  if (!message.ok) throw new Error('the donor sent no message');
  const { header, payloads } = message.value;
  return [0, 1].map((beyond) => {
    // The header of a payload has four octets.
    const data = new Uint8Array(DEFAULT_LIMITS.firstMessageBytes + beyond - bytes.length - 4);
    return toHex(encodeMessage(header, [...payloads, { kind: 'vendor', data }]));
  });
}

/** A gateway's configuration with one connection for each peer. */
function config(local: LabSite, peers: Record<string, LabSite>, establish_mode: string) {
  return {
    gateway: { name: `site-${local.node}`, address: local.address },
    connections: Object.entries(peers).map(([name, peer]) => ({
      name,
      psk: 'correct-horse-battery',
      establish_mode,
      local: { cidrs: [local.cidr] },
      peer: { address: peer.address, cidrs: [peer.cidr] },
    })),
  };
}

/** The authenticated peer, a process in its namespace. */
class Siege {
  readonly #process: ChildProcess;
  readonly #program: HelperProgram;
  report: SiegeReport = { sent: { bombs: 0, rekeys: 0, children: 0 }, answers: {}, ikeSas: 0 };

  private constructor(process: ChildProcess) {
    this.#process = process;
    this.#program = new HelperProgram('the peer', process);
    createInterface({ input: process.stdout! }).on('line', (line) => {
      this.report = JSON.parse(line);
    });
  }

  /** Resolves when the peer is connected. */
  static async connect({ lab }: SiteLab): Promise<Siege> {
    const argv = [process.execPath, '--import=@tapjs/typescript/import', SIEGE_PEER];
    const env = { ...process.env, TS_NODE_TRANSPILE_ONLY: '1' };
    const child = lab.spawn(BESIEGER.node, argv, { stdio: ['pipe', 'pipe', 'inherit'], env });
    const siege = new Siege(child);
    await siege.#program.firstOutput();
    return siege;
  }

  begin(): void {
    this.#process.stdin!.write('begin\n');
  }

  async reachesGoals(): Promise<void> {
    await this.#program.until(() => {
      const { sent } = this.report;
      return sent.bombs >= GOALS.bombs && sent.rekeys >= GOALS.rekeys && sent.children >= GOALS.children;
    });
  }

  async end(): Promise<void> {
    this.#process.stdin!.end();
    await this.#program.ended;
  }
}

const spisOf = ({ ike, children }: ConnectionStatusDocument) => ({
  ike: [ike?.initiator_spi, ike?.responder_spi],
  children: children.map(({ spi_in, spi_out }) => [spi_in, spi_out]),
});

/** Whether the besieger had what a peer may have, and was refused the rest. */
function checkLimits(t: Test, gateway: CulvertDaemon, { sent, answers, ikeSas }: SiegeReport): void {
  for (const kind of ['bombs', 'rekeys', 'children'] as const)
    t.ok(sent[kind] >= GOALS[kind], `${sent[kind]} ${kind} were asked for`);
  const answered = Object.values(answers).reduce((sum, count) => sum + count, 0);
  t.ok(
    answers.child! > 12,
    `${answers.child} child SAs were made, most of them in the place of deleted ones`,
  );
  t.ok(answers.TS_UNACCEPTABLE! > 5, `${answers.TS_UNACCEPTABLE} selector bombs were looked at and refused`);
  t.ok(answers.NO_ADDITIONAL_SAS! > 0, 'so are child SAs beyond the share of the connection');
  t.ok(answered < (sent.bombs + sent.children) / 4, `${answered} requests of all these were answered`);
  t.ok(ikeSas > 1 && ikeSas < 50, `${ikeSas - 1} rekeys were served`);
  t.match(gateway.log(), /demanding a cookie/, 'the stranger has to prove where it is');
  t.match(gateway.log(), /more than 1024 pieces/, 'the log says what is wrong with the bombs');
  t.match(gateway.log(), /as many as the connection may have: 12/, 'and with the child SAs');
}

t.test(
  'an honest tunnel loses no ping while a peer and a stranger besiege its gateway',
  { skip, timeout: 180_000 },
  async (t) => {
    const site = await createLab();
    t.teardown(() => site.dispose());
    const { lab, folder } = site;
    const peers = { honest: HONEST, besieger: BESIEGER };
    const gateway = await CulvertDaemon.start(lab, GATEWAY.node, folder, config(GATEWAY, peers, 'peer_only'));
    const honest = await CulvertDaemon.start(
      lab,
      HONEST.node,
      folder,
      config(HONEST, { gateway: GATEWAY }, 'bidirectional'),
    );
    const siege = await Siege.connect(site);
    await gateway.until('besieger', up, 30);
    const before = spisOf(await gateway.until('honest', up, 30));
    const beforeThere = spisOf(await honest.until('gateway', up, 30));
    t.equal(before.children.length, 1);
    const resident = residentKb(gateway.pid);

    const pings = steadyPing(lab, HONEST, GATEWAY, 0.1);
    const started = performance.now();
    siege.begin();
    const flood = await Flood.start(lab, {
      target: GATEWAY.address,
      forged: HONEST.address,
      messages: largeRequests(),
      perSecond: PER_SECOND,
    });
    await Promise.all([siege.reachesGoals(), flood.reaches(MIN_FORGED), sleep(MIN_SECONDS * 1000)]);
    while (pings.answered < MIN_ANSWERS && performance.now() - started < 60_000) await sleep(100);
    const seconds = (performance.now() - started) / 1000;
    const besieged = await gateway.connection('besieger');
    const growth = residentKb(gateway.pid) - resident;
    const counted = await pings.stop();
    await siege.end();
    await flood.end();

    t.comment(
      `${seconds.toFixed(1)} s, ${flood.sent} forged messages, ${growth} KB more, ${JSON.stringify(siege.report)}`,
    );
    t.equal(counted.lost, 0, `no ping of ${counted.sent} is lost`);
    t.ok(counted.received >= MIN_ANSWERS, `${counted.received} pings were answered`);
    t.same(spisOf(await gateway.connection('honest')), before, 'the IKE SA and the child SA are the same');
    t.same(spisOf(await honest.connection('gateway')), beforeThere, 'at the other end, too');
    t.ok(flood.sent >= MIN_FORGED, `${flood.sent} forged messages were sent`);
    t.ok(besieged.children.length <= 12, `the besieger has ${besieged.children.length} child SAs`);
    t.ok(growth < MAX_GROWTH_KB, `the gateway has grown by ${growth} KB`);
    checkLimits(t, gateway, siege.report);
    await honest.stop();
    await gateway.stop();
  },
);
