import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { EtcdClient } from '../../src/store/etcd/client.js';
import { openEtcdStore } from '../../src/store/etcd/etcd-store.js';
import { KIND, SECRET_FIELDS } from '../../src/store/records.js';
import { createSealer, readSealingKey } from '../../src/store/sealing.js';
import { openSqliteStore } from '../../src/store/sqlite-store.js';
import type { Store } from '../../src/store/store.js';
import { contentOf } from '../../src/store/store-content.js';
import { ApiLab, PSK, policyConnection, SITE } from '../helpers/api-lab.js';
import { commandLine } from '../helpers/command-line.js';
import { EtcdLab, skipWithoutEtcd } from '../helpers/etcd-lab.js';

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-copy-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

t.test('a store goes into etcd and back', { skip: skipWithoutEtcd() }, async (t) => {
  const folder = folderOf(t);
  const lab = await (await EtcdLab.open(t, { members: 1 })).ready();
  const place = lab.place('copied');
  const keyFile = join(folder, 'sealing-key');
  writeFileSync(keyFile, 'a5'.repeat(32), { mode: 0o600 });
  const config = join(folder, 'site.yaml');
  const keys = { sealing_key_file: 'sealing-key', signing_key_file: 'sealing-key' };
  writeFileSync(
    config,
    stringify({ ...SITE, ...keys, store: { etcd: { endpoints: place.endpoints, cluster: 'copied' } } }),
  );
  const sealer = createSealer(readSealingKey(keyFile));
  const kept = { secretFields: SECRET_FIELDS, sealer };
  const copy = (from: string, to: string, ...more: string[]) =>
    commandLine('store', 'copy', '--config', config, '--from', from, '--to', to, ...more);

  const file = join(folder, 'store.db');
  const source = openSqliteStore({ path: file, secretFields: SECRET_FIELDS });
  const api = await ApiLab.open(t, { store: source });
  const gateway = await api.gateway('gw');
  const list = `/vpn_gateways/${gateway}/connections`;
  const { id } = (await api.post(list, policyConnection(1))).body;
  await api.post(list, policyConnection(2));
  await api.patch(`${list}/${id}`, { name: 'renamed' });
  const expected = await contentOf(source);
  t.match(await copy(`sqlite:${file}`, 'etcd:'), { code: 1, err: /used by another process/ });
  await source.close();

  t.match(await copy(`sqlite:${file}`, 'etcd:'), {
    code: 0,
    out: new RegExp(
      `^done: 3 objects and ${expected.notes.length} audit records, at revision ${expected.revision}\n$`,
    ),
  });
  const opened = async (): Promise<Store> =>
    openEtcdStore({ ...kept, kv: new EtcdClient(place), cluster: 'copied' });
  const store = await opened();
  t.same(await contentOf(store), expected, 'ids, revisions and notes are the same');
  t.equal((await store.snapshot()).get<{ psk: string }>(KIND.connection, id)?.value.psk, PSK);
  t.notMatch(lab.ctl('get', '--prefix', 'culvert/'), PSK, 'keys are sealed in it');
  t.equal(await store.commit([], { note: 'later' }), expected.revision + 1, 'revisions go on');
  const later = await contentOf(store);
  await store.close();

  t.match(await copy(`sqlite:${file}`, 'etcd:'), { code: 1, err: /is not empty \(cluster "copied"\)/ });
  const back = join(folder, 'back.db');
  const json = JSON.parse((await copy('etcd:', `sqlite:${back}`, '--output', 'json')).out);
  t.same(json, { revision: later.revision, objects: 3, notes: later.notes.length });
  const again = openSqliteStore({ path: back, ...kept });
  t.same(await contentOf(again), later);
  await again.close();
  t.match(await copy('etcd:', `sqlite:${back}`), { code: 1, err: /back\.db" is not empty/ });

  t.match(await copy(`sqlite:${join(folder, 'none.db')}`, 'etcd:'), { code: 1, err: /there is no store/ });
  t.match(await copy('etcd:', 'etcd:'), { code: 2, err: /one of them is sqlite:FILE/ });
  t.match(await copy('sqlite:', 'etcd:'), { code: 2, err: /--from does not take "sqlite:"/ });
  writeFileSync(config, stringify(SITE));
  t.match(await copy(`sqlite:${file}`, 'etcd:'), { code: 1, err: /names no "store\.etcd"/ });
});

t.test(
  'a copy that was cut off keeps servers out, and is begun again',
  { skip: skipWithoutEtcd() },
  async (t) => {
    const lab = await (await EtcdLab.open(t, { members: 1 })).ready();
    const place = lab.place('cut');
    const { fillEtcdStore } = await import('../../src/store/etcd/fill.js');
    const kv = new EtcdClient(place);
    t.teardown(() => kv.close());
    const object = (n: number) => ({
      ...{ kind: KIND.ikePolicy, id: `p${n}`, created: n, revision: n },
      value: { name: `p${n}`, text: 'x'.repeat(4000) },
    });
    const content = {
      revision: 500,
      objects: Array.from({ length: 400 }, (_, n) => object(n + 1)),
      notes: [{ revision: 500, note: { text: 'y'.repeat(900_000) } }],
    };
    let writes = 0;
    const breaking = {
      ...{ read: kv.read.bind(kv), watch: kv.watch.bind(kv), close: async () => undefined },
      transact: async (...given: Parameters<typeof kv.transact>) => {
        if (++writes === 3) throw new Error('cut off');
        return kv.transact(...given);
      },
    };
    await t.rejects(fillEtcdStore({ kv: breaking, cluster: 'cut' }, content), { message: 'cut off' });
    const open = () => openEtcdStore({ kv: new EtcdClient(place), cluster: 'cut' });
    await t.rejects(open(), { code: 'locked', remedy: /run it again/ });
    await fillEtcdStore({ kv, cluster: 'cut' }, { ...content, objects: content.objects.slice(0, 300) });
    const store = await open();
    t.teardown(() => store.close());
    t.same(await contentOf(store), { ...content, objects: content.objects.slice(0, 300) });
  },
);
