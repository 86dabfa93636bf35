import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { StatusDocument } from '../../src/connection/status.js';
import { HelperProgram } from './helper-program.js';
import { sentPackets, speechesOf } from './sent-packets.js';
import { type ServeLab, until, VPCS } from './serve-lab.js';
import { steadyPing } from './steady-ping.js';

/** Between two echo requests, in seconds: those that go unanswered are the measure of how long a takeover takes. */
const INTERVAL = 0.02;

/** How much such a life has, and how long traffic may be away, in seconds. */
export interface StandbyCourse {
  readonly switches: number;
  /** When the active member was killed or frozen. */
  readonly away: number;
  /** When it was asked to hand over. */
  readonly awayBySwitch: number;
}

const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

interface Member {
  readonly role: string;
  readonly health_state: string;
  readonly public_ip: { readonly address: string };
}

/** As the API has them. */
export async function membersOf(lab: ServeLab, id: string): Promise<readonly Member[]> {
  return (await lab.call('GET', `/vpn_gateways/${id}`)).body.members;
}

/** Resolves when this member of a gateway is active and the other one ready. */
export async function atRest(lab: ServeLab, id: string, active: 0 | 1): Promise<void> {
  await until(`member ${active + 1} is active, the other is ready`, async () => {
    const all = await membersOf(lab, id);
    return all[active]?.role === 'active' && all.every((one) => one.health_state === 'ok');
  });
}

/** The first VPC's gateway, its SAs process by process, and the traffic through it. */
class StandbyLife {
  readonly #t: Test;
  readonly #lab: ServeLab;
  readonly #id: string;
  readonly #ping;
  /** By SA, the number of the process that had it, from 1. */
  readonly owners = new Map<string, number>();
  readonly moments: { readonly at: number; readonly what: string }[] = [];
  active: 0 | 1 = 0;
  #processes = 0;

  constructor(t: Test, lab: ServeLab, id: string) {
    this.#t = t;
    this.#lab = lab;
    this.#id = id;
    this.#ping = steadyPing(
      lab.network,
      { node: vpc1.host, inside: vpc1.hostAddress },
      { inside: vpc2.hostAddress },
      INTERVAL,
    );
  }

  /** The number of the process that speaks now. */
  get processes(): number {
    return this.#processes;
  }

  pidOf(member: 0 | 1): number {
    const socket = join(this.#lab.folder, 'run', `${this.#id}-${member}.sock`);
    return this.#lab.gateways(this.#id).find((pid) => {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words[words.indexOf('--control') + 1] === socket;
    })!;
  }

  /** Traffic passes, and the SAs of the process that speaks are noted. */
  async carries(): Promise<void> {
    const { answered } = this.#ping;
    await until('traffic', () => this.#ping.answered > answered + 5);
    this.#processes++;
    const { out, code } = await this.#lab.culvert(
      ...['status', 'gateway-1', '--run-folder', join(this.#lab.folder, 'run'), '--output', 'json'],
    );
    this.#t.equal(code, 0, 'culvert status');
    for (const { connections } of [JSON.parse(out)].flat() as StatusDocument[])
      for (const { ike, children } of connections) {
        if (ike !== null) this.owners.set(`ike ${ike.initiator_spi}`, this.#processes);
        for (const { spi_out } of children) this.owners.set(`esp ${spi_out}`, this.#processes);
      }
  }

  /** After `cause` the other member takes over, and has a standby again. */
  async takeover(what: string, cause: () => Promise<void> | void): Promise<void> {
    this.moments.push({ at: Date.now(), what });
    await cause();
    this.active = this.active === 0 ? 1 : 0;
    await atRest(this.#lab, this.#id, this.active);
    await this.carries();
  }

  /** Ends the traffic. @returns echo requests that went unanswered after each moment */
  async lost(): Promise<number[]> {
    const { outages, sent, lost } = await this.#ping.stop();
    this.#t.comment(`${sent} pings, ${lost} lost in ${outages.length} outages`);
    const ends = [...this.moments.slice(1).map(({ at }) => at), Number.POSITIVE_INFINITY];
    const first = this.moments[0]!.at;
    this.#t.same(
      outages.filter(({ to }) => to <= first),
      [],
      'none is lost before',
    );
    return this.moments.map(({ at }, index) =>
      outages.filter(({ to }) => to > at && to <= ends[index]!).reduce((sum, one) => sum + one.lost, 0),
    );
  }
}

/**
 * Kills the active member of the gateway in the first VPC, freezes the next one, and switches some times, under traffic
 * to the second VPC; then kills the standby. After each takeover traffic passes again within the time given, and a
 * capture shows that a process says nothing once the next one has begun.
 */
export async function lifeWithStandby(
  t: Test,
  lab: ServeLab,
  id: string,
  course: StandbyCourse,
): Promise<void> {
  const { switches, away, awayBySwitch } = course;
  const pcap = join(lab.folder, 'wan.pcap');
  const tcpdump = [
    'tcpdump',
    '-i',
    'wan',
    '-n',
    '-U',
    '--immediate-mode',
    '-s',
    '96',
    '-Z',
    'root',
    '-w',
    pcap,
  ];
  const sent = ['src', 'host', vpc1.gatewayAddress, 'and', 'udp', 'and', '(port 500 or port 4500)'];
  const child = lab.network.spawn(vpc1.node, [...tcpdump, ...sent], { stdio: ['ignore', 'ignore', 'pipe'] });
  const capture = new HelperProgram('tcpdump', child);
  let listens = false;
  child.stderr!.once('data', () => {
    listens = true;
  });
  await capture.until(() => listens);
  const life = new StandbyLife(t, lab, id);
  await life.carries();

  await life.takeover('killed', () => void process.kill(life.pidOf(0), 'SIGKILL'));
  t.match(
    (await membersOf(lab, id)).map((one) => one.public_ip.address),
    ['0.0.0.0', vpc1.gatewayAddress],
    'role and address have moved',
  );
  await life.takeover('frozen', () => void process.kill(life.pidOf(1), 'SIGSTOP'));
  for (let n = 0; n < switches; n++) {
    await life.takeover('switched', async () => {
      const { code, err } = await lab.culvert('gateway-switch', 'gateway-1');
      t.equal(code, 0, err);
    });
  }
  const { active } = life;
  life.moments.push({ at: Date.now(), what: 'standby killed' });
  process.kill(life.pidOf(active === 0 ? 1 : 0), 'SIGKILL');
  await until('the API says so', async () =>
    (await membersOf(lab, id)).some((one) => one.health_state !== 'ok'),
  );
  await atRest(lab, id, active);

  const lost = await life.lost();
  await capture.stop();
  const told = life.moments.map(({ what }, n) => `${lost[n]} (${what})`).join(', ');
  t.comment(`lost of ${1 / INTERVAL} a second: ${told}`);
  // Packets may meet the queue of a standby in the moment in which it opens the device, longer on a busy machine.
  t.ok(lost.pop()! <= 3, `nobody misses a standby: ${told}`);
  t.same(
    lost.filter((count, n) => count >= (n < 2 ? away : awayBySwitch) / INTERVAL),
    [],
    `each takeover is done in time: ${told}`,
  );

  const packets = sentPackets(pcap);
  const { speeches, strange } = speechesOf(packets, life.owners);
  t.same(strange, [], 'every packet is of an SA of a process that spoke');
  t.equal(speeches.size, life.processes, `${packets.length} packets of ${life.processes} processes`);
  const inOrder = [...speeches].sort(([a], [b]) => a - b);
  const overlaps = inOrder.filter(([, { first }], n) => n > 0 && first <= inOrder[n - 1]![1].last);
  t.same(overlaps, [], 'a process says nothing once the next one has begun');
}
