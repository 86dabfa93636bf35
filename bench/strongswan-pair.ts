import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { randomPsk } from '#culvert/cli/pair/gateway-file.js';
import { findProgram } from '#culvert/cli/pair/preflight.js';
import { PrivateFolder } from '#culvert/cli/pair/private-folder.js';
import { createSiteNetwork, SITE_A, SITE_B, type Site } from '#culvert/cli/pair/site-network.js';
import type { NetworkLab } from '#culvert/linux/namespaces.js';

/**
 * Two strongSwan gateways with userspace ESP (its plugin kernel-libipsec) in the same private network as a
 * Culvert pair, as the yardstick measured in the same run.
 */

/** OpenSSL before the C plugins for speed; kernel-libipsec before kernel-netlink, so that it carries ESP. */
const PLUGINS =
  'random nonce openssl sha1 md5 sha2 hmac kdf gcm gmp pem pkcs1 vici kernel-libipsec kernel-netlink socket-default updown';
const SUBFOLDERS = [
  'conf.d',
  'x509',
  'x509ca',
  'x509crl',
  'pubkey',
  'private',
  'rsa',
  'ecdsa',
  'pkcs8',
  'pkcs12',
];
const START_TIMEOUT_MS = 10_000;

/** Proposals in strongSwan's words. */
export interface StrongswanSuite {
  readonly ike: string;
  readonly esp: string;
}

/** Why strongSwan cannot be measured here, or undefined when it can. */
export function strongswanMissing(): string | undefined {
  const missing = ['charon-systemd', 'swanctl'].filter((program) => findProgram(program) === undefined);
  return missing.length === 0 ? undefined : `strongSwan is not installed (${missing.join(', ')})`;
}

export class StrongswanPair {
  readonly lab: NetworkLab;
  readonly pids: number[] = [];
  readonly #folder: PrivateFolder;

  private constructor(lab: NetworkLab, folder: PrivateFolder) {
    this.lab = lab;
    this.#folder = folder;
  }

  /** Starts both daemons and brings the tunnel up. @throws Error with strongSwan's words */
  static async start(suite: StrongswanSuite): Promise<StrongswanPair> {
    const folder = new PrivateFolder('culvert-bench-');
    let pair: StrongswanPair | undefined;
    try {
      pair = new StrongswanPair(await createSiteNetwork(), folder);
      const psk = randomPsk(randomBytes);
      await pair.#startDaemon(SITE_A, SITE_B, suite, psk);
      await pair.#startDaemon(SITE_B, SITE_A, suite, psk);
      await pair.#swanctl(SITE_A, ['--initiate', '--child', 'net', '--timeout', '10']);
      return pair;
    } catch (error) {
      if (pair === undefined) folder.remove();
      else await pair.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.lab.dispose();
    this.#folder.remove();
  }

  async #startDaemon(site: Site, peer: Site, suite: StrongswanSuite, psk: string): Promise<void> {
    const folder = this.#folder.file(site.name);
    for (const name of SUBFOLDERS) mkdirSync(`${folder}/${name}`, { recursive: true });
    this.#folder.write(
      `${site.name}/strongswan.conf`,
      strongswanConf(this.#vici(site), `${folder}/charon.log`),
    );
    this.#folder.write(`${site.name}/swanctl.conf`, swanctlConf(site, peer, suite, psk));
    const daemon = this.lab.spawn(site.gateway, [findProgram('charon-systemd')!], {
      stdio: 'ignore',
      env: this.#environment(site),
    });
    this.pids.push(daemon.pid!);
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        await this.#swanctl(site, ['--load-all']);
        return;
      } catch (error) {
        const ended = daemon.exitCode !== null || daemon.signalCode !== null;
        if (ended) throw new Error(`strongSwan at ${site.name} ended at once`, { cause: error });
        if (performance.now() > deadline) throw error;
      }
      await pause(100);
    }
  }

  #swanctl(site: Site, args: readonly string[]): Promise<string> {
    return this.lab.check(site.gateway, [findProgram('swanctl')!, ...args, '--uri', this.#vici(site)], {
      env: this.#environment(site),
    });
  }

  #vici(site: Site): string {
    return `unix://${this.#folder.file(site.name)}/vici`;
  }

  #environment(site: Site): NodeJS.ProcessEnv {
    const folder = this.#folder.file(site.name);
    const { NOTIFY_SOCKET: _, ...env } = process.env;
    return { ...env, STRONGSWAN_CONF: `${folder}/strongswan.conf`, SWANCTL_DIR: folder };
  }
}

function strongswanConf(vici: string, log: string): string {
  return `charon {
  load_modular = no
  load = ${PLUGINS}
  plugins {
    vici {
      socket = ${vici}
    }
  }
  filelog {
    bench {
      path = ${log}
      default = 1
    }
  }
}
`;
}

function swanctlConf(site: Site, peer: Site, suite: StrongswanSuite, psk: string): string {
  return `connections {
  net {
    version = 2
    local_addrs = ${site.address}
    remote_addrs = ${peer.address}
    proposals = ${suite.ike}
    mobike = no
    encap = yes
    local {
      auth = psk
      id = ${site.address}
    }
    remote {
      auth = psk
      id = ${peer.address}
    }
    children {
      net {
        local_ts = ${site.cidr}
        remote_ts = ${peer.cidr}
        esp_proposals = ${suite.esp}
      }
    }
  }
}
secrets {
  ike-net {
    secret = "${psk}"
  }
}
`;
}
