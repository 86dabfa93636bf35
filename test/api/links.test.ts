import t from 'tap';
import { OPERATIONS } from '../../src/api/routes.js';
import { statusReason } from '../../src/connection/reasons.js';
import type { StatusReasonCode } from '../../src/connection/status.js';
import { EARLY, FLAT, NEW } from '../helpers/api-lab.js';
import { CONTRACT } from '../helpers/contract-cases.js';
import { makeWorld, type World } from '../helpers/contract-world.js';

const CODES: readonly StatusReasonCode[] = [
  'cannot_authenticate_connection',
  'ike_policy_mismatch',
  'ike_v1_id_local_remote_cidr_mismatch',
  'ike_v2_local_remote_cidr_mismatch',
  'ipsec_policy_mismatch',
  'peer_not_responding',
  'internal_error',
];

/** Every link in an answer: what stands under `href` or `more_info`, however deep. */
function linksIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    typeof inner === 'string' && (key === 'href' || key === 'more_info') ? [inner] : linksIn(inner),
  );
}

/** The link as clients of the VPC API follow it: with the parameters that every request has. */
function followed(link: string, version: string): URL {
  const url = new URL(link);
  if (url.pathname.startsWith('/v1/')) {
    url.searchParams.set('version', version);
    url.searchParams.set('generation', '2');
  }
  return url;
}

async function walk({ lab }: World, version: string, roots: readonly string[]): Promise<Set<string>> {
  const seen = new Set<string>();
  const due = [...roots];
  for (let link = due.pop(); link !== undefined; link = due.pop()) {
    if (seen.has(link)) continue;
    seen.add(link);
    const { pathname, search, hash } = followed(link, version);
    const answer = await lab.server.app.inject({ url: pathname + search, headers: { host: 'localhost' } });
    if (answer.statusCode !== 200) throw new Error(`${link}: ${answer.statusCode} ${answer.payload}`);
    if (String(answer.headers['content-type']).startsWith('application/json')) {
      lab.checked('GET', pathname, answer);
      due.push(...linksIn(answer.json()));
    } else if (hash !== '' && !answer.payload.includes(`id="${hash.slice(1)}"`)) {
      throw new Error(`${link}: the page has no such place`);
    }
  }
  return seen;
}

t.test('every link in every answer answers', async (t) => {
  const { world, release } = await makeWorld(t);
  const { lab, ids } = world;
  const reason = statusReason({ cause: 'peer_silent', message: 'The peer is silent.' });
  lab.runner.setConnection(ids.c!, { status: 'down', status_reasons: [reason] });
  lab.runner.setState(ids.rgw!, 'degraded');
  // Everything that answers with a body, on pages of one, so that each list has a next one.
  const readable = OPERATIONS.filter(({ method, success }) => method === 'GET' && success[200] !== undefined);
  const roots = readable.flatMap(({ id, path, prefixes = ['/v1'] }) => {
    const params = CONTRACT[id]!.params ?? {};
    const filled = path.replace(/:([a-z_]+)/g, (_, name: string) =>
      params[name]!.replace(/\{([a-z0-9]+)\}/, (_, key: string) => ids[key]!),
    );
    return prefixes.map((prefix) => `http://localhost${prefix}${filled}?limit=1`);
  });
  for (const version of [NEW, FLAT, EARLY]) {
    const seen = [...(await walk(world, version, roots))];
    t.ok(seen.length > 60, `${version}: ${seen.length} links`);
    const kinds = [
      /next|start=/,
      /\/reserved_ips\//,
      /\/zones\//,
      /\/vpcs\//,
      /\/resource_groups\//,
      /\/docs\//,
    ];
    for (const kind of version === EARLY ? kinds.slice(0, 1) : kinds) {
      t.ok(
        seen.some((link) => kind.test(link)),
        `${version}: ${kind}`,
      );
    }
  }
  release();
});

t.test('the page behind more_info explains every code, and opens without a token', async (t) => {
  const { world, release } = await makeWorld(t);
  const url = '/culvert/v1/docs/vpc-vpn-health';
  const page = await world.lab.server.app.inject({ url, headers: { host: 'localhost' } });
  t.equal(page.statusCode, 200);
  t.match(page.headers['content-type'], /^text\/html/);
  for (const code of CODES) t.ok(page.payload.includes(`id="${code}"`), code);
  t.match(page.payload, /port_4500_blocked/);
  t.notMatch(page.payload, /`[^`]*<[a-z]+ /, 'advice is text');
  const about = async (cause: string) =>
    (await world.lab.server.app.inject({ url: `${url}?cause=${cause}`, headers: { host: 'localhost' } }))
      .payload;
  t.match(
    await about('psk_mismatch'),
    /led here is <code>psk_mismatch<\/code>: Enter the same pre-shared key/,
  );
  for (const other of ['%3Cscript%3E', 'constructor', 'a&cause=b']) {
    t.equal(await about(other), page.payload, 'what is no cause adds nothing');
  }
  release();
});
