import t from 'tap';
import { checkBackup, openBackup, readBackup, sealBackup } from '../../src/store/backup.js';
import { createSealer } from '../../src/store/sealing.js';
import { SecretKey } from '../../src/util/secret.js';
import { backupOf } from '../helpers/backup-cases.js';

const sealer = (octet: number) => createSealer(new SecretKey(new Uint8Array(32).fill(octet)));
const KEY = 'a-key-nobody-may-see';
const connection = (id: string, psk = KEY) => ({
  kind: 'vpn_gateway_connection',
  id,
  value: {
    gateway: '0717-g',
    name: 'to-b',
    createdAt: '2026-11-22T10:00:00.000Z',
    psk,
    adminStateUp: true,
    establishMode: 'bidirectional',
    deadPeerDetection: { action: 'restart', interval: 2, timeout: 10 },
    distributeTraffic: false,
    local: { cidrs: ['10.1.0.0/24'], ikeIdentities: [] },
    peer: { address: '192.0.2.2', cidrs: ['10.2.0.0/24'] },
  },
});
const whole = backupOf(connection('0717-a'), connection('0717-b', 'another-key-of-ours'));

t.test('keys stand apart, and sealing hides them', async (t) => {
  t.same(
    whole.objects.map(({ secrets }) => secrets),
    [{ psk: KEY }, { psk: 'another-key-of-ours' }],
  );
  t.notMatch(JSON.stringify(whole.objects.map(({ value }) => value)), KEY);
  const sealed = sealBackup(whole, sealer(1));
  t.equal(sealed.keys, 'sealed');
  t.notMatch(JSON.stringify(sealed), /a-key-nobody|another-key/);
  t.same(openBackup(readBackup(JSON.stringify(sealed)), sealer(1)), whole, 'and gives them back');
  t.throws(() => openBackup(sealed, sealer(2)), { code: 'sealed', message: /with another key/ });
  const [a, b] = sealed.objects;
  const swapped = { ...sealed, objects: [{ ...a!, sealed: b!.sealed! }, b!] };
  t.throws(() => openBackup(swapped, sealer(1)), { code: 'damaged' }, 'a key is of its connection alone');
});

t.test('whoever writes the fields in another order or layout keeps the checksum', async (t) => {
  const turned = Object.fromEntries(Object.entries(whole).reverse());
  t.same(readBackup(JSON.stringify(turned, null, 4)), whole);
});

t.test('what is cut, changed, foreign or newer is refused, without a word of a key', async (t) => {
  const text = JSON.stringify(whole);
  const refused = (work: () => unknown, code: string, what: RegExp): void => {
    try {
      work();
      t.fail(`${what} was taken`);
    } catch (error) {
      const { code: found, message, remedy } = error as { code: string; message: string; remedy: string };
      t.equal(found, code);
      t.match(message, what);
      t.ok(remedy);
      t.notMatch(`${message} ${remedy}`, /a-key-nobody|another-key/);
    }
  };
  for (let length = 0; length < text.length; length += 97) {
    refused(() => readBackup(text.slice(0, length)), 'damaged', /ends early/);
  }
  refused(() => readBackup('[]'), 'damaged', /no backup of Culvert/);
  refused(() => readBackup(text.replace('10.2.0.0/24', '10.3.0.0/24')), 'damaged', /checksum/);
  refused(() => readBackup(text.replace(KEY, 'a-key-nobody-may-sea')), 'damaged', /checksum/);
  refused(() => readBackup(text.replace('"version":1', '"version":2')), 'newer_schema', /format 2/);
  refused(() => checkBackup({ ...whole, objects: 'none' }), 'damaged', /objects needs a list/);
  const twice = openBackup({ ...whole, objects: [whole.objects[0]!, whole.objects[0]!] }, sealer(1));
  refused(() => checkBackup(twice), 'damaged', /objects\[1\] is there twice/);
  for (const [objects, what] of [
    [[connection('../../etc')], /objects\[0\].id .*does not fit/],
    [[connection('0717-a', 'short')], /objects\[0\]\.value\.psk has 5 characters/],
    [[{ ...connection('0717-a'), kind: 'ike_policy' }], /objects\[0\]\.value\.\S+ is/],
  ] as const) {
    refused(() => checkBackup(backupOf(...objects)), 'damaged', what);
  }
});
