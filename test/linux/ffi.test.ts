import Module from 'node:module';
import t from 'tap';

/** Set before anything loads koffi: each test file is a process of its own. */
const loader = Module as unknown as { _load(request: string, ...rest: unknown[]): unknown };
const load = loader._load;
loader._load = (request, ...rest) => {
  if (request === 'koffi') throw new Error("Cannot find module 'koffi'\nRequire stack: …");
  return load.call(loader, request, ...rest);
};

t.test('without koffi everything says so', async (t) => {
  const { ffiAvailable, libc } = await import('../../src/linux/ffi.js');
  const { LinuxError } = await import('../../src/linux/errors.js');
  const { capabilities } = await import('../../src/linux/capabilities.js');
  const { createArena } = await import('../../src/dataplane/ffi/memory/arena.js');
  const { loadOpenssl } = await import('../../src/dataplane/ffi/crypto/openssl.js');
  const { openTun } = await import('../../src/linux/tun.js');
  const { openPortGroup } = await import('../../src/linux/sockets.js');
  const { addRoute } = await import('../../src/linux/routes.js');

  const probe = ffiAvailable();
  t.notOk(probe.ok);
  t.equal(probe.ok ? '' : probe.reason, "the package koffi cannot be loaded: Cannot find module 'koffi'");
  for (const attempt of [
    () => libc(),
    () => createArena(),
    () => openTun('culvert6'),
    () => openPortGroup({ address: '127.0.0.1', port: 0, workers: 1 }),
    () => addRoute({ cidr: { address: Uint8Array.of(10, 0, 0, 0), prefix: 8 }, device: 'lo' }),
  ]) {
    t.throws(attempt, { code: 'ENOSYS', message: /koffi/, remedy: /optional dependencies/ });
    t.throws(attempt, LinuxError);
  }
  t.match(
    capabilities().find((capability) => capability.name === 'ffi'),
    { ok: false, reason: /koffi/ },
  );
  const openssl = loadOpenssl();
  t.notOk(openssl.ok);
  t.match(openssl.ok ? '' : openssl.reason, /the Node binary: .*koffi.*libcrypto\.so\.3: /);
});
