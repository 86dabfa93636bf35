import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { findProgram } from '#culvert/cli/pair/preflight.js';
import { createSiteNetwork, SITE_A, SITE_B, type Site } from '#culvert/cli/pair/site-network.js';
import type { Contender } from './contender.js';

/** Where wireguard-go makes its control sockets, one a device. */
const CONTROL = '/var/run/wireguard';
const PORT = 51820;
const MTU = 1420;
const START_TIMEOUT_MS = 10_000;

/** The wireguard-go to measure: the file named, or the one that is installed. */
export function findWireguardGo(file: string | undefined): string | undefined {
  if (file !== undefined) return existsSync(file) ? file : undefined;
  return findProgram('wireguard-go');
}

/** Two gateways of wireguard-go, configured through their control sockets (the cross-platform userspace API). */
export async function startWireguardPair(program: string): Promise<Contender> {
  const lab = await createSiteNetwork();
  try {
    const ends = [SITE_A, SITE_B].map((site, i) => ({
      site,
      device: `cvbench${process.pid % 100000}${'ab'[i]}`,
      keys: generateKeyPairSync('x25519'),
    }));
    const processes = ends.map(({ site, device }) =>
      lab.spawn(site.gateway, [program, '--foreground', device], {
        stdio: 'ignore',
        env: { ...process.env, LOG_LEVEL: 'silent', WG_PROCESS_FOREGROUND: '1' },
      }),
    );
    for (const [i, { site, device, keys }] of ends.entries()) {
      const other = ends[1 - i]!;
      await configure(device, [
        'set=1',
        `private_key=${hex(keys.privateKey, 'd')}`,
        `listen_port=${PORT}`,
        `public_key=${hex(other.keys.publicKey, 'x')}`,
        `endpoint=${other.site.address}:${PORT}`,
        `allowed_ip=${other.site.cidr}`,
      ]);
      await lab.check(site.gateway, ['ip', 'link', 'set', device, 'mtu', String(MTU), 'up']);
      await lab.check(site.gateway, ['ip', 'route', 'add', other.site.cidr, 'dev', device]);
    }
    await firstAnswer(lab, SITE_A, SITE_B);
    const stop = async (): Promise<void> => {
      await lab.dispose();
      // A process that is killed leaves its socket behind.
      for (const { device } of ends) rmSync(`${CONTROL}/${device}.sock`, { force: true });
    };
    return { lab, pids: processes.map((child) => child.pid!), stop };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

function hex(key: KeyObject, member: 'd' | 'x'): string {
  return Buffer.from(key.export({ format: 'jwk' })[member]!, 'base64url').toString('hex');
}

/** Sends one request as soon as the control socket is there. @throws Error when it is refused */
async function configure(device: string, lines: readonly string[]): Promise<void> {
  const path = `${CONTROL}/${device}.sock`;
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!existsSync(path)) {
    if (performance.now() > deadline) throw new Error(`wireguard-go did not make ${path}`);
    await pause(20);
  }
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(path, () => socket.write(`${lines.join('\n')}\n\n`));
    let text = '';
    socket.setEncoding('utf8').on('data', (part) => {
      text += part;
      if (text.includes('\n\n')) socket.end();
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(text));
  });
  if (!answer.includes('errno=0'))
    throw new Error(`wireguard-go refused its configuration: ${answer.trim()}`);
}

/** Waits for the handshake that the first packet causes. */
async function firstAnswer(lab: Contender['lab'], from: Site, to: Site): Promise<void> {
  const { code } = await lab.run(from.host, [
    'ping',
    '-q',
    '-c',
    '20',
    '-i',
    '0.2',
    '-w',
    '5',
    to.hostAddress,
  ]);
  if (code !== 0) throw new Error('no packet passed between the two wireguard-go');
}
