import { spawn } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import t from 'tap';
import { NetworkLab } from '../../src/linux/namespaces.js';
import { skipWithoutLab } from '../helpers/prerequisites.js';

const skip = skipWithoutLab();

function inNamespace(namespace: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^[0-9]+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === namespace;
      } catch {
        return false;
      }
    });
}

t.test('two namespaces, a router between them, and nothing left behind', { skip }, async (t) => {
  const lab = NetworkLab.create();
  t.teardown(() => lab.dispose());
  for (const name of ['a', 'r', 'b']) await lab.add(name);
  await t.rejects(lab.add('a'), /already has a namespace "a"/);
  await lab.link(
    { node: 'a', device: 'wan', addresses: ['192.0.2.1/28', '2001:db8:1::1/64'] },
    { node: 'r', device: 'toa', addresses: ['192.0.2.2/28', '2001:db8:1::2/64'] },
  );
  await lab.link(
    { node: 'b', device: 'wan', addresses: ['192.0.2.17/28'] },
    { node: 'r', device: 'tob', addresses: ['192.0.2.18/28'] },
    1400,
  );
  await lab.check('a', ['ip', 'route', 'add', '192.0.2.16/28', 'via', '192.0.2.2']);
  await lab.check('b', ['ip', 'route', 'add', '192.0.2.0/28', 'via', '192.0.2.18']);
  await lab.forward('r');
  const ping = await lab.run('a', ['ping', '-c', '1', '-W', '2', '192.0.2.17']);
  t.equal(ping.code, 0, ping.stderr + ping.stdout);
  const six = await lab.run('a', ['ping', '-c', '1', '-W', '2', '2001:db8:1::2']);
  t.equal(six.code, 0, six.stderr + six.stdout);
  t.match(await lab.check('b', ['ip', 'link', 'show', 'wan']), /mtu 1400/);
  t.notMatch(await lab.check('b', ['ip', '-o', 'link']), /toa/);
  await t.rejects(lab.check('a', ['ip', 'link', 'show', 'nowhere']), /in namespace "a"/);
  t.throws(() => lab.pid('c'), /no namespace "c"/);

  const sleeper = lab.spawn('b', ['sh', '-c', 'sleep 300 & echo started; wait'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await new Promise((resolve) => sleeper.stdout!.once('data', resolve));
  const namespace = readlinkSync(`/proc/${lab.pid('b')}/ns/net`);
  t.ok(inNamespace(namespace).length >= 3, 'holder, shell and its child live in the namespace');
  await lab.dispose();
  await lab.dispose();
  // The grandchild is reaped by init; its entry may outlive the kill by an instant.
  for (let i = 0; i < 200 && inNamespace(namespace).length > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.same(inNamespace(namespace), []);
  await t.rejects(lab.add('c'), /disposed/);
  t.throws(() => lab.spawn('a', ['true']), /disposed/);
});

t.test('a killed owner takes its namespaces with it', { skip }, async (t) => {
  const module = new URL('../../src/linux/namespaces.ts', import.meta.url).href;
  const script = `
    const { NetworkLab } = await import(${JSON.stringify(module)});
    const lab = NetworkLab.create();
    await lab.add('a');
    lab.spawn('a', ['sleep', '300'], { stdio: 'ignore' });
    console.log(lab.pid('a'));
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<string>((resolve) =>
    owner.stdout.once('data', (data) => resolve(String(data).trim())),
  );
  const namespace = readlinkSync(`/proc/${pid}/ns/net`);
  t.ok(inNamespace(namespace).length >= 1);
  owner.kill('SIGKILL');
  for (let i = 0; i < 500 && inNamespace(namespace).length > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.same(inNamespace(namespace), []);
});
