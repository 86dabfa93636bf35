import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';
import { type Gateway, startGateway } from '../../src/daemon/gateway/gateway.js';
import type { GatewayOptions } from '../../src/daemon/gateway/gateway-options.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import type { GatewayFile } from '../../src/store/model.js';
import { readPsks } from '../../src/store/psk.js';
import { createLogger, type Logger } from '../../src/telemetry/log.js';
import { TestDevice } from './portable-plane.js';

/** What stands in a configuration file; `connection` joins or replaces the fields of its one connection. */
export interface FileChange {
  readonly gateway?: object;
  readonly policies?: object;
  readonly connection?: object;
}

/** Of some strength, so that it is not advised against. */
export const PSK = 'correct-horse-k7Qv2X-mJ9wRt4zHc8b';
/** Loopback addresses of this process alone, so that tests that run side by side share no port. */
const own = `${(process.pid >>> 8) & 0xff}.${process.pid & 0xff}`;
export const ADDRESS = {
  a: `127.${64 + ((process.pid >>> 16) & 63)}.${own}`,
  b: `127.${128 + ((process.pid >>> 16) & 63)}.${own}`,
} as const;
export type Side = keyof typeof ADDRESS;

/** A gateway in this process with the portable data plane, a device held by the test and a log kept in memory. */
export interface TestGateway {
  readonly gateway: Gateway;
  readonly device: TestDevice;
  /** Log lines, JSON. */
  readonly lines: string[];
  readonly control: string;
  connection(): ConnectionStatusDocument;
  until(wanted: (connection: ConnectionStatusDocument) => boolean): Promise<ConnectionStatusDocument>;
}

let freePort = 20_500;

/** Makes gateways on loopback addresses and unprivileged ports, and takes all of them away again. */
export class GatewayBench {
  readonly folder = mkdtempSync(join(tmpdir(), 'culvert-gateway-'));
  readonly ports = { ike: freePort++, natt: freePort++ };
  readonly #gateways: Gateway[] = [];

  file(side: Side, change: FileChange = {}): GatewayFile {
    const other = side === 'a' ? 'b' : 'a';
    const cidr = { a: '10.1.0.0/24', b: '10.2.0.0/24' };
    const text = stringify({
      gateway: {
        name: `site-${side}`,
        address: ADDRESS[side],
        control: this.control(side),
        ...change.gateway,
      },
      ...change.policies,
      connections: [
        {
          name: 'c',
          psk: PSK,
          local: { cidrs: [cidr[side]] },
          peer: { address: ADDRESS[other], cidrs: [cidr[other]] },
          ...change.connection,
        },
      ],
    });
    const read = readGatewayFile(text, join(this.folder, `${side}.yaml`));
    if (!read.ok) throw new Error(JSON.stringify(read.error));
    return read.value;
  }

  control(side: Side): string {
    return join(this.folder, `${side}.sock`);
  }

  options(side: Side, change: FileChange, device: TestDevice, logger: Logger): GatewayOptions {
    const file = this.file(side, change);
    const psks = readPsks(file);
    if (!psks.ok) throw new Error(JSON.stringify(psks.error));
    return { file, psks: psks.value, logger, dataPlane: 'portable', device, ports: this.ports };
  }

  async start(side: Side, change: FileChange = {}, over: Partial<GatewayOptions> = {}): Promise<TestGateway> {
    const device = new TestDevice();
    const lines: string[] = [];
    const logger = createLogger({ level: 'debug', destination: { write: (line) => lines.push(line) } });
    const gateway = await startGateway({ ...this.options(side, change, device, logger), ...over });
    this.#gateways.push(gateway);
    const connection = (): ConnectionStatusDocument => gateway.status().connections[0]!;
    const until = async (wanted: (connection: ConnectionStatusDocument) => boolean) => {
      for (let i = 0; i < 1000; i++) {
        if (wanted(connection())) return connection();
        await sleep(10);
      }
      throw new Error(`not reached: ${JSON.stringify(connection(), null, 1)}\n${lines.slice(-30).join('')}`);
    };
    return { gateway, device, lines, control: this.control(side), connection, until };
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#gateways.map((gateway) => gateway.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const isUp = (connection: ConnectionStatusDocument): boolean => connection.status === 'up';
