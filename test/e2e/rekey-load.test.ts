import t from 'tap';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, type LabSite, SITE_A, SITE_B, siteConfig } from '../helpers/site-lab.js';
import { TcpFlow } from '../helpers/tcp-flow.js';

const skip = skipWithoutTun();

const REKEYS = 5;
/** Packets that cross between two rekeys, so that each comes under load. */
const BETWEEN = 2000;

/** With an IPsec policy of this cipher, or with none: then it takes what the peer offers. */
function config(local: LabSite, peer: LabSite, cipher?: string) {
  const policy = { authentication_algorithm: 'sha256', pfs: 'disabled' };
  if (cipher === undefined) return siteConfig(local, peer, { establish_mode: 'peer_only' });
  return {
    ...siteConfig(local, peer, { ipsec_policy: 'exact' }),
    ipsec_policies: [{ name: 'exact', encryption_algorithm: cipher, ...policy }],
  };
}

const end = ({ node, inside }: LabSite) => ({ node, address: inside });

t.test('TCP in both directions through five child rekeys', { skip, timeout: 120_000 }, async (t) => {
  const site = await createSiteLab();
  t.teardown(() => site.dispose());
  const b = await CulvertDaemon.start(site.lab, 'b', site.folder, config(SITE_B, SITE_A));
  const a = await CulvertDaemon.start(site.lab, 'a', site.folder, config(SITE_A, SITE_B, 'aes128'));
  await a.until('c', (c) => c.status === 'up', 20);
  await b.until('c', (c) => c.status === 'up', 20);
  const flows = [
    await TcpFlow.start(site.lab, end(SITE_A), end(SITE_B)),
    await TcpFlow.start(site.lab, end(SITE_B), end(SITE_A)),
  ];
  const spis = new Set<string>();
  for (let n = 1; n <= REKEYS; n++) {
    const busy = await a.until(
      'c',
      ({ children: [child] }) => child!.packets_in > BETWEEN && child!.packets_out > BETWEEN,
      30,
    );
    const { spi_in } = busy.children[0]!;
    spis.add(spi_in);
    await a.reload(config(SITE_A, SITE_B, n % 2 === 1 ? 'aes256' : 'aes128'));
    await a.until('c', ({ children }) => children.length === 1 && children[0]!.spi_in !== spi_in, 30);
  }
  t.equal(spis.size, REKEYS, 'every rekey made another SA');
  for (const [i, flow] of flows.entries()) {
    const { sent, received } = await flow.finish();
    t.same(received, sent, `all octets arrive ${i === 0 ? 'at B' : 'at A'}`);
    t.ok(sent.octets > 0);
  }
  for (const [name, daemon] of [
    ['A', a],
    ['B', b],
  ] as const) {
    const { gateway, connections } = await daemon.status();
    // The kernel speaks to its neighbours on every device; nothing of that is for the tunnel.
    const { no_policy: _, ...drops } = { ...gateway.drops, ...connections[0]!.drops };
    t.same(
      Object.entries(drops).filter(([, count]) => count > 0),
      [],
      `${name} dropped nothing`,
    );
    t.same(connections[0]!.status_reasons, []);
  }
  t.equal(await a.stop(), 0);
  t.equal(await b.stop(), 0);
});
