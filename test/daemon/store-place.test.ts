import { dirname } from 'node:path';
import t from 'tap';
import { readServeFile } from '../../src/daemon/serve/serve-file.js';

const SITE = `vpcs: [{ name: v }]
subnets: [{ name: s, vpc: v, cidr: 10.1.0.0/24, public_addresses: [192.0.2.1] }]
`;
const KEYS = `sealing_key_file: seal
signing_key_file: sign
`;
const SOURCE = '/etc/culvert/site.yaml';

function read(text: string) {
  const file = readServeFile(text, SOURCE);
  return file.ok ? file.value.store : file.error.map(({ path, message }) => `${path}: ${message}`).join('\n');
}

t.test('a store in a file', async (t) => {
  t.same(read(SITE), { engine: 'sqlite', path: '/var/lib/culvert/store.db' });
  t.same(read(`${SITE}store: data/my.db\n`), { engine: 'sqlite', path: `${dirname(SOURCE)}/data/my.db` });
  t.match(read(`${SITE}store: 5\n`), /^store: /);
  t.match(read(`${SITE}store: []\n`), /^store: /);
});

t.test('a store in etcd', async (t) => {
  t.same(read(`${SITE}${KEYS}store: { etcd: { endpoints: ['http://127.0.0.1:2379'] } }\n`), {
    ...{ engine: 'etcd', endpoints: ['http://127.0.0.1:2379'], cluster: 'default', tls: {} },
  });
  const full = `store:
  etcd:
    endpoints: ['https://a.example:2379', 'https://[2001:db8::1]:2379']
    cluster: vpn-1
    tls: { ca: ca.pem, certificate: c.pem, key: /k.pem }
    user: culvert
    password_file: password
`;
  t.same(read(`${SITE}${KEYS}${full}`), {
    engine: 'etcd',
    endpoints: ['https://a.example:2379', 'https://[2001:db8::1]:2379'],
    cluster: 'vpn-1',
    tls: { ca: '/etc/culvert/ca.pem', certificate: '/etc/culvert/c.pem', key: '/k.pem' },
    login: { user: 'culvert', passwordFile: '/etc/culvert/password' },
  });
});

t.test('faults name the field and the remedy', async (t) => {
  const etcd = (fields: string, keys = KEYS) => read(`${SITE}${keys}store: { etcd: { ${fields} } }\n`);
  const good = `endpoints: ['https://a.example:2379']`;
  t.match(etcd(''), /^store\.etcd\.endpoints: is missing/);
  t.match(etcd('endpoints: []'), /store\.etcd\.endpoints: is empty/);
  t.match(
    etcd(`endpoints: ['a.example:2379']`),
    /endpoints\[0\]: "a\.example:2379" does not fit: .*https:\/\/host:2379/,
  );
  t.match(etcd(`endpoints: ['https://a:1', 'https://a:1']`), /is in the list twice/);
  t.match(
    etcd(`endpoints: ['https://a:1', 'http://127.0.0.1:2']`),
    /endpoints\[1\]: .* differs from the first one/,
  );
  t.match(etcd(`endpoints: ['http://10.0.0.1:1']`), /is not protected: use https, or set "plain_http: true"/);
  t.type(etcd(`endpoints: ['http://10.0.0.1:1'], plain_http: true`), 'object');
  t.match(etcd(`${good}, tls: { key: k.pem }`), /store\.etcd\.tls\.certificate: is missing/);
  t.match(etcd(`${good}, tls: { certificate: c.pem }`), /store\.etcd\.tls\.key: is missing/);
  t.match(etcd(`${good}, user: u`), /store\.etcd\.password_file: is missing/);
  t.match(etcd(`${good}, password_file: p`), /store\.etcd\.user: is missing/);
  t.match(etcd(`${good}, cluster: A/B`), /store\.etcd\.cluster: "A\/B" does not fit: lower-case/);
  t.match(etcd(`${good}, endpoint: x`), /did you mean "endpoints"/);
  t.match(
    etcd(good, ''),
    /sealing_key_file: is missing: .*every host needs the same.*\nsigning_key_file: is missing/s,
  );
  t.match(read(`${SITE}store: { sqlite: x }\n`), /store/);
});
