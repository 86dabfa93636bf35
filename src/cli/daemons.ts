import { existsSync, readdirSync } from 'node:fs';
import { ControlClient } from '../daemon/control/client.js';
import { type MemberFile, memberOf, memberSocket, RUN_FOLDER } from '../daemon/serve/run-folder.js';
import { ANSWER_SECONDS, DEFAULT_CONTROL } from './command.js';
import { type Control, inTime, openControl } from './control.js';
import { CliError, ExitCode, UsageError } from './errors.js';
import { suggestion } from './nearest.js';
import type { Terminal } from './terminal.js';
import { isMeant } from './wildcards.js';

/** The options by which a command finds one daemon, or all those of a server. */
export interface DaemonArguments {
  readonly control?: string | undefined;
  readonly timeout?: number | undefined;
  readonly 'run-folder'?: string | undefined;
  readonly output?: string;
  /** It does not end by itself, so it follows one daemon only. */
  readonly watch?: boolean;
}

/** One daemon, and which of its connections are meant, by names or patterns; none for all. */
export interface Aim {
  readonly control: Control;
  readonly wanted: readonly string[];
  /** Name of the gateway, under `culvert serve`. */
  readonly gateway?: string;
}

/** A gateway process of `culvert serve`. */
interface Member {
  readonly id: string;
  readonly index: number;
  readonly socket: string;
  readonly gateway: string;
  /** Names of connections by id. */
  readonly names: ReadonlyMap<string, string>;
  /** Another process speaks for its gateway. */
  readonly isStandby: boolean;
}

/**
 * Does something with each daemon that the operands of a command line mean: the one with a file, whose connections they
 * name; or, where there is none or an operand is `GATEWAY/CONNECTION`, gateways of `culvert serve`. With several
 * daemons a person reads a heading for each, and a program gets a list.
 * @throws CliError
 */
export async function eachDaemon(
  args: DaemonArguments,
  operands: readonly string[],
  terminal: Terminal,
  talk: (aim: Aim, terminal: Terminal) => Promise<ExitCode>,
): Promise<ExitCode> {
  const { control = DEFAULT_CONTROL, timeout } = args;
  if (!isServed(args, operands)) {
    const opened = await openControl({ control, timeout });
    return talkTo({ control: opened, wanted: operands }, terminal, talk);
  }
  const members = await meantMembers(args, operands);
  const documents: unknown[] = [];
  // A watcher's documents come as lines.
  const collecting: Terminal = { ...terminal, json: (value) => void documents.push(value) };
  const codes: ExitCode[] = [];
  if (args.watch === true && members.length > 1) {
    const running = [...new Set(members.map(({ gateway }) => gateway))].join(', ');
    throw new UsageError(`--watch takes one gateway: name one of ${running}`);
  }
  for (const [at, member] of members.entries()) {
    if (members.length > 1 && args.output !== 'json') {
      const title = `${member.gateway}, member ${member.index + 1}`;
      terminal.lines([...(at === 0 ? [] : ['']), terminal.style.bold(title)]);
    }
    const opened = await openControl({ control: member.socket, timeout });
    const aim = { control: opened, wanted: wantedOf(member, operands), gateway: member.gateway };
    codes.push(await talkTo(aim, collecting, talk));
  }
  if (documents.length > 0) terminal.json(documents.length === 1 ? documents[0] : documents);
  return codes.find((code) => code !== ExitCode.done) ?? ExitCode.done;
}

function isServed(args: DaemonArguments, operands: readonly string[]): boolean {
  return asksServer(args, operands) && socketsIn(servedFolder(args)).length > 0;
}

/** Whether there is any daemon that a command line without operands could mean. */
export function isAnyDaemon(args: DaemonArguments): boolean {
  return args.control !== undefined || existsSync(DEFAULT_CONTROL) || isServed(args, []);
}

/** The one daemon and connection that an operand means. @throws CliError when it means several */
export function oneConnection(aim: Aim): string {
  const [name] = aim.wanted;
  if (name !== undefined) return name;
  throw new CliError('name a connection of the gateway, as GATEWAY/CONNECTION');
}

/** The default folder may be replaced by an option or by the environment. */
export function servedFolder(args: DaemonArguments): string {
  return args['run-folder'] ?? process.env.CULVERT_RUN_FOLDER ?? RUN_FOLDER;
}

/** Whether the gateways of a server are meant, and no daemon that has a file. */
function asksServer(args: DaemonArguments, operands: readonly string[]): boolean {
  return (
    args.control === undefined && (operands.some((one) => one.includes('/')) || !existsSync(DEFAULT_CONTROL))
  );
}

/**
 * Gateways of `culvert serve`, by id, of which a process has left its traces and none runs, or none that is configured.
 * Their names are not known: with operands only those count that an operand names by id, unless no gateway of an
 * operand's name runs.
 */
export async function absentMembers(
  args: DaemonArguments,
  operands: readonly string[],
): Promise<readonly string[]> {
  if (!asksServer(args, operands)) return [];
  const { timeout = ANSWER_SECONDS } = args;
  const folder = servedFolder(args);
  const running = await answeringMembers(folder, timeout);
  const isRunning = (id: string, index: number): boolean =>
    running.some((member) => member.id === id && member.index === index);
  const ids = membersIn(folder).flatMap(({ id, index }) => (isRunning(id, index) ? [] : [id]));
  const unnamed = operands.filter((one) => !running.some((member) => isGateway(member, gatewayIn(one))));
  const absent = [...new Set(ids)];
  if (operands.length === 0 || unnamed.length > 0) return absent;
  return absent.filter((id) => operands.some((one) => gatewayIn(one) === id));
}

function gatewayIn(operand: string): string {
  return operand.split('/', 1)[0]!;
}

async function talkTo(
  aim: Aim,
  terminal: Terminal,
  talk: (aim: Aim, terminal: Terminal) => Promise<ExitCode>,
): Promise<ExitCode> {
  try {
    return await talk(aim, terminal);
  } finally {
    aim.control.close();
  }
}

async function meantMembers(args: DaemonArguments, operands: readonly string[]): Promise<Member[]> {
  const { timeout = ANSWER_SECONDS } = args;
  const members = await runningMembers(servedFolder(args), timeout, operands.map(gatewayIn));
  const names = [...new Set(members.map(({ gateway }) => gateway))];
  for (const operand of operands) {
    const gateway = gatewayIn(operand);
    if (members.some((member) => isGateway(member, gateway))) continue;
    const hint = suggestion(gateway, names) || `; running are: ${names.join(', ') || 'none'}`;
    throw new CliError(`culvert serve runs no gateway "${gateway}"${hint}`);
  }
  return members.filter(
    (member) => operands.length === 0 || operands.some((one) => isGateway(member, gatewayIn(one))),
  );
}

/**
 * The gateways that have a name, in the order of their names, without those that are only ready to take over. Resolves
 * early when `wanted` are gateways by name or id and all their members have answered: another gateway that does not
 * answer is none of their business.
 * @throws CliError when one does not answer
 */
export async function runningMembers(
  folder: string,
  seconds: number,
  wanted: readonly string[] = [],
): Promise<Member[]> {
  return (await answeringMembers(folder, seconds, wanted)).filter(({ isStandby }) => !isStandby);
}

async function answeringMembers(
  folder: string,
  seconds: number,
  wanted: readonly string[] = [],
): Promise<Member[]> {
  const files = socketsIn(folder);
  const asked = new Set(files);
  const found: Member[] = [];
  const isEnough = (): boolean =>
    wanted.length > 0 &&
    wanted.every((one) => {
      const ids = found.filter(({ id, gateway }) => id === one || gateway === one).map(({ id }) => id);
      return ids.length > 0 && ![...asked].some(({ id }) => ids.includes(id));
    });
  await new Promise<void>((resolve, reject) => {
    const all = files.map(async (file) => {
      const member = await memberAt(folder, file, seconds);
      asked.delete(file);
      if (member !== undefined) found.push(member);
      if (isEnough()) resolve();
    });
    Promise.all(all).then(() => resolve(), reject);
  });
  return found.sort((a, b) => a.gateway.localeCompare(b.gateway) || a.index - b.index);
}

/** Undefined when nothing runs there, or nothing that has a name. @throws CliError when it does not answer */
async function memberAt(
  folder: string,
  { id, index }: MemberFile,
  seconds: number,
): Promise<Member | undefined> {
  const socket = memberSocket(folder, id, index);
  const client = await ControlClient.connect(socket).catch(() => undefined);
  if (client === undefined) return undefined;
  try {
    const { gateway, connections, standby = false } = await inTime(client.names(), seconds, socket);
    if (gateway === null) return undefined;
    const names = new Map(Object.entries(connections));
    return { id, index, socket, gateway, names, isStandby: standby };
  } finally {
    client.close();
  }
}

function socketsIn(folder: string): readonly MemberFile[] {
  return membersIn(folder).filter(({ isSocket }) => isSocket);
}

/** Sockets of members, and what is beside them. */
function membersIn(folder: string): readonly MemberFile[] {
  try {
    return readdirSync(folder).flatMap((name) => memberOf(name) ?? []);
  } catch {
    return [];
  }
}

function isGateway({ id, gateway }: Member, pattern: string): boolean {
  return id === pattern || isMeant(pattern, gateway);
}

/** The connections of this gateway that operands name; none when one names the gateway alone. */
function wantedOf(member: Member, operands: readonly string[]): string[] {
  const mine = operands.filter((one) => isGateway(member, gatewayIn(one)));
  if (mine.some((one) => !one.includes('/') || one.endsWith('/'))) return [];
  return mine.map((one) => one.slice(one.indexOf('/') + 1));
}
