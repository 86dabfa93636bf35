import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { stringify } from 'yaml';
import { PANEL_ROWS } from '../../src/telemetry/monitoring/panels.js';
import { alertRuleFile } from '../../src/telemetry/monitoring/rule-file.js';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, type LabSite, SITE_A, SITE_B, type SiteLab } from '../helpers/site-lab.js';

const skip = skipWithoutTun() || skipWithoutProgram('prometheus') || skipWithoutProgram('curl');

/** The rules as they are shipped, but for their pace: what takes two minutes takes a second. */
const SCALE = 1 / 120;
const PORT = 9464;
const OFTEN = '500ms';

interface FiringAlert {
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A real Prometheus in the namespace of site A, which scrapes both sites. */
class Prometheus {
  readonly #site: SiteLab;
  readonly #process: ChildProcess;
  #log = '';

  private constructor(site: SiteLab, process: ChildProcess) {
    this.#site = site;
    this.#process = process;
    process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
  }

  static start(site: SiteLab): Prometheus {
    const rules = join(site.folder, 'rules.yaml');
    writeFileSync(rules, alertRuleFile({ scale: SCALE }));
    const config = join(site.folder, 'prometheus.yaml');
    const targets = [SITE_A, SITE_B].map(({ address }) => `${address}:${PORT}`);
    writeFileSync(
      config,
      stringify({
        global: { scrape_interval: OFTEN, scrape_timeout: OFTEN, evaluation_interval: OFTEN },
        rule_files: [rules],
        scrape_configs: [{ job_name: 'culvert', static_configs: [{ targets }] }],
      }),
    );
    const argv = [
      ...['prometheus', `--config.file=${config}`, `--storage.tsdb.path=${join(site.folder, 'data')}`],
      ...['--web.listen-address=127.0.0.1:9090', '--log.level=warn'],
    ];
    const child = site.lab.spawn('a', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
    return new Prometheus(site, child);
  }

  /** What the API answers, undefined as long as it does not listen. */
  async #ask(path: string, parameters: readonly string[] = []): Promise<string | undefined> {
    const argv = ['curl', '-s', '-G', `http://127.0.0.1:9090/api/v1/${path}`];
    for (const parameter of parameters) argv.push('--data-urlencode', parameter);
    const { code, stdout } = await this.#site.lab.run('a', argv);
    return code === 0 ? stdout : undefined;
  }

  async firing(): Promise<readonly FiringAlert[]> {
    const answer = await this.#ask('alerts');
    if (answer === undefined) return [];
    const { data } = JSON.parse(answer) as { data: { alerts: readonly FiringAlert[] } };
    return data.alerts.filter(({ state }) => state === 'firing');
  }

  /** Labels of the series that an expression has now. @throws Error when it cannot be evaluated */
  async query(expression: string): Promise<readonly Readonly<Record<string, string>>[]> {
    const answer = JSON.parse((await this.#ask('query', [`query=${expression}`])) ?? '{}') as {
      status: string;
      error?: string;
      data: { result: readonly { metric: Readonly<Record<string, string>> }[] };
    };
    if (answer.status !== 'success') throw new Error(`${expression}: ${answer.error}`);
    return answer.data.result.map(({ metric }) => metric);
  }

  /** Resolves with the alert when it fires for that connection, or for that target. @throws Error after a minute */
  async until(alertname: string, about: Readonly<Record<string, string>>): Promise<FiringAlert> {
    let firing: readonly FiringAlert[] = [];
    for (let tries = 0; tries < 240; tries++) {
      firing = await this.firing();
      const found = firing.find(({ labels }) =>
        Object.entries({ alertname, ...about }).every(([name, value]) => labels[name] === value),
      );
      if (found !== undefined) return found;
      await sleep(250);
    }
    throw new Error(`${alertname} does not fire: ${JSON.stringify(firing)}\n${this.#log}`);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGTERM');
    await ended;
  }
}

/** One end of a connection that has identities of its own. */
function connection(name: string, local: LabSite, peer: LabSite, more: object = {}) {
  const identity = ({ node }: LabSite) => ({ type: 'fqdn', value: `${name}.${node}.example` });
  const n = { good: 1, 'bad-key': 2, narrowed: 3 }[name];
  const cidr = ({ node }: LabSite): string => `10.${n}.${node === 'a' ? 1 : 2}.0/24`;
  return {
    name,
    psk: 'correct-horse-battery',
    dead_peer_detection: { action: 'restart', interval: 1, timeout: 3 },
    local: { cidrs: [cidr(local)], ike_identities: [identity(local)] },
    peer: { address: peer.address, cidrs: [cidr(peer)], ike_identity: identity(peer) },
    ...more,
  };
}

const gatewayOf = ({ node, address }: LabSite) => ({ name: `site-${node}`, address });

t.test(
  'Prometheus fires the alerts of a wrong key, a refused network and a peer that is gone',
  { skip },
  async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    const narrowed = connection('narrowed', SITE_A, SITE_B);
    const { peer } = narrowed;
    const a = await CulvertDaemon.start(
      site.lab,
      'a',
      site.folder,
      {
        gateway: gatewayOf(SITE_A),
        connections: [
          connection('good', SITE_A, SITE_B),
          connection('bad-key', SITE_A, SITE_B, { psk: 'another-horse-battery' }),
          { ...narrowed, peer: { ...peer, cidrs: [...peer.cidrs, '10.3.9.0/24'] } },
        ],
      },
      ['--metrics', `${SITE_A.address}:${PORT}`],
    );
    t.teardown(() => a.kill());
    const waiting = { establish_mode: 'peer_only' };
    const b = await CulvertDaemon.start(
      site.lab,
      'b',
      site.folder,
      {
        gateway: gatewayOf(SITE_B),
        connections: ['good', 'bad-key', 'narrowed'].map((name) => connection(name, SITE_B, SITE_A, waiting)),
      },
      ['--metrics', `${SITE_B.address}:${PORT}`],
    );
    const prometheus = Prometheus.start(site);
    t.teardown(() => prometheus.stop());
    await a.until('good', up, 30);

    const on = (name: string) => ({
      instance: `${SITE_A.address}:${PORT}`,
      gateway: 'site-a',
      connection: name,
    });
    const down = await prometheus.until('CulvertConnectionDown', on('bad-key'));
    t.equal(down.labels.severity, 'critical');
    t.match(down.annotations.summary, /^VPN connection site-a\/bad-key is down \(authentication_refused\)$/);
    const partly = await prometheus.until('CulvertConnectionDegraded', on('narrowed'));
    t.match(
      partly.annotations.summary,
      /^VPN connection site-a\/narrowed carries only some .* \(ts_narrowed\)$/,
    );
    t.same(
      (await prometheus.firing()).filter(({ labels }) => labels.connection === 'good'),
      [],
      'nothing is said of the one that works',
    );
    // What parses may still match too many series.
    for (const { panels } of PANEL_ROWS) {
      for (const { title, queries } of panels) {
        for (const { expression } of queries) {
          const filled = expression.replaceAll('$__rate_interval', '5s').replaceAll(/\$[a-z]+/g, '.*');
          const series = await prometheus.query(filled);
          if (title !== 'Connections that are not up') continue;
          const about = series.map(({ instance, connection, cause }) => [instance, connection, cause]);
          t.ok(JSON.stringify(about).includes('"bad-key","authentication_refused"'), JSON.stringify(about));
          t.notMatch(JSON.stringify(about), 'good');
        }
      }
    }

    const trying = setInterval(() => void a.up('bad-key').catch(() => undefined), 300);
    t.teardown(() => clearInterval(trying));
    await prometheus.until('CulvertAuthFailures', on('bad-key'));
    clearInterval(trying);

    await b.kill();
    await prometheus.until('CulvertTargetMissing', { instance: `${SITE_B.address}:${PORT}` });
    const gone = await prometheus.until('CulvertConnectionDown', on('good'));
    t.match(gone.annotations.summary, /site-a\/good is down \((dpd_timeout|peer_silent)\)/);
  },
);
