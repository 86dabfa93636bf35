import { createSocket } from 'node:dgram';
import { readSync } from 'node:fs';
import t from 'tap';
import { addAddress, listAddresses, removeAddress } from '../../src/linux/addresses.js';
import { capabilities, hasEffectiveCapability } from '../../src/linux/capabilities.js';
import { LinuxError, tunError } from '../../src/linux/errors.js';
import { findLink, linkIndex, removeLink, setLink, setLinkUp } from '../../src/linux/links.js';
import { decodeAnswers, decodeAttributes, encodeRequest } from '../../src/linux/netlink.js';
import { addRoute, getRoute, listRoutes, ROUTE_PROTOCOL, removeRoute } from '../../src/linux/routes.js';
import { openTun } from '../../src/linux/tun.js';
import { type Cidr, cidrOf, formatCidr, formatIp, parseIp } from '../../src/util/ip.js';
import { enterOwnNamespace } from '../helpers/own-namespace.js';
import { skipWithoutRoot, skipWithoutTun } from '../helpers/prerequisites.js';

const skip = skipWithoutRoot() || skipWithoutTun();
if (!skip) enterOwnNamespace();

const cidr = (text: string): Cidr => cidrOf(text);

function refusal(attempt: () => unknown): LinuxError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof LinuxError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

t.test('a TUN device lives as long as it is open', { skip }, async (t) => {
  const tun = openTun('culvert9');
  t.teardown(() => tun.close());
  const link = findLink('culvert9');
  t.match(link, { name: 'culvert9', index: tun.index, up: false, txQueueLength: 5000 });
  t.equal(findLink(tun.index)?.name, 'culvert9');

  const busy = refusal(() => openTun('culvert9'));
  t.equal(busy.code, 'EBUSY');
  t.match(busy.message, /"culvert9".*exists/);
  t.match(busy.remedy, /gateway\.interface/);
  t.throws(() => openTun('much-too-long-a-name'), /device name/);
  t.throws(() => openTun('a/b'), /device name/);

  tun.close();
  tun.close();
  t.equal(findLink('culvert9'), undefined);
  openTun('culvert9').close();
});

t.test('a shared TUN device outlives whoever leaves it, with its routes', { skip }, async (t) => {
  const shared = { shared: true, queues: 2, virtioHeader: true, tso: true };
  const first = openTun('culvert5', shared);
  t.teardown(() => first.close());
  setLinkUp('culvert5', 1400);
  addRoute({ cidr: cidr('10.77.0.0/24'), device: 'culvert5' });
  const second = openTun('culvert5', shared);
  t.teardown(() => second.close());
  t.equal(second.index, first.index);
  t.ok(first.tso && second.tso, 'what is agreed on with a queue that takes no part holds, too');
  const read = (fd: number): unknown => {
    try {
      return readSync(fd, new Uint8Array(2000));
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  };
  const send = async (): Promise<void> => {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) =>
      socket.send('x', 9, '10.77.0.1', () => socket.close(() => resolve())),
    );
  };
  const got = (fds: readonly number[]) => fds.map(read).filter((one) => typeof one === 'number').length;
  first.attach();
  await send();
  t.equal(got(first.fds), 1);
  t.same(second.fds.map(read), ['EAGAIN', 'EAGAIN'], 'nothing comes to who has not attached');
  first.close();
  t.match(listRoutes(), [{ cidr: cidr('10.77.0.0/24'), index: second.index }], 'the route is still there');
  await send();
  second.attach();
  await send();
  t.equal(got(second.fds), 1, 'and what is sent from now on comes here');
  second.close();
  t.equal(findLink('culvert5'), undefined);
});

t.test('links, addresses and routes come and go', { skip }, async (t) => {
  const tun = openTun('culvert8');
  t.teardown(() => tun.close());
  setLinkUp('culvert8', 1380);
  t.match(findLink('culvert8'), { up: true, mtu: 1380 });
  setLink('culvert8', { mtu: 1400, txQueueLength: 700 });
  t.match(findLink('culvert8'), { up: true, mtu: 1400, txQueueLength: 700 });

  for (const address of ['10.9.0.1/24', '2001:db8:9::1/64']) {
    addAddress('culvert8', address);
    const again = refusal(() => addAddress('culvert8', address));
    t.equal(again.code, 'EEXIST');
    t.ok(again.message.includes(address), again.message);
  }
  const texts = listAddresses('culvert8').map((x) => `${formatIp(x.address)}/${x.prefix}`);
  t.ok(texts.includes('10.9.0.1/24') && texts.includes('2001:db8:9::1/64'), texts.join(' '));
  const ofAnyDevice = listAddresses().map(({ address }) => formatIp(address));
  t.ok(ofAnyDevice.includes('10.9.0.1'));
  t.notOk(ofAnyDevice.includes('10.9.0.2'));
  t.throws(() => addAddress('culvert8', '10.9.0.1'), /write address\/prefix/);
  t.throws(() => addAddress('culvert8', '10.9.0.1/33'), /write address\/prefix/);

  for (const [network, inside, source] of [
    ['10.77.0.0/16', '10.77.1.2', '10.9.0.1'],
    ['2001:db8:77::/48', '2001:db8:77::5', '2001:db8:9::1'],
  ] as const) {
    const route = { cidr: cidr(network), device: 'culvert8', source: parseIp(source)! };
    t.equal(refusal(() => getRoute(inside)).code, 'ENETUNREACH');
    addRoute(route);
    const found = getRoute(inside);
    t.equal(found.device, 'culvert8');
    t.equal(formatIp(found.source!), source);
    t.equal(found.gateway, undefined);
    const twice = refusal(() => addRoute(route));
    t.equal(twice.code, 'EEXIST');
    t.ok(twice.message.includes(network) && twice.remedy.includes(network), twice.remedy);
  }
  t.same(
    listRoutes().map((route) => [formatCidr(route.cidr), route.index, route.protocol]),
    [
      ['10.77.0.0/16', tun.index, ROUTE_PROTOCOL],
      ['2001:db8:77::/48', tun.index, ROUTE_PROTOCOL],
    ],
    'our routes are recognised by their protocol number, the kernel’s own are not listed',
  );
  addRoute({ cidr: cidr('0.0.0.0/0'), device: 'culvert8' });
  t.equal(getRoute('198.51.100.1').device, 'culvert8', 'a default route is possible');
  removeRoute({ cidr: cidr('0.0.0.0/0'), device: 'culvert8' });

  removeRoute({ cidr: cidr('10.77.0.0/16'), device: 'culvert8' });
  const gone = refusal(() => removeRoute({ cidr: cidr('10.77.0.0/16'), device: 'culvert8' }));
  t.equal(gone.code, 'ESRCH');
  removeAddress('culvert8', '10.9.0.1/24');
  t.equal(refusal(() => removeAddress('culvert8', '10.9.0.1/24')).code, 'EADDRNOTAVAIL');

  setLink('culvert8', { up: false });
  t.equal(findLink('culvert8')?.up, false);
  const down = refusal(() => addRoute({ cidr: cidr('10.78.0.0/16'), device: 'culvert8' }));
  t.equal(down.code, 'ENETDOWN');
  t.match(down.remedy, /bring the device "culvert8" up/);
  removeLink('culvert8');
  t.equal(refusal(() => linkIndex('culvert8')).code, 'ENODEV');
  t.same(listRoutes(), []);
});

t.test('capabilities', async (t) => {
  t.ok(hasEffectiveCapability(12, 'Name:\tx\nCapEff:\t0000000000001000\n'));
  t.notOk(hasEffectiveCapability(12, 'Name:\tx\nCapEff:\t0000000000000fff\n'));
  t.notOk(hasEffectiveCapability(12, ''));
  for (const capability of capabilities()) {
    t.ok(capability.ok || (capability.reason ?? '').length > 10, capability.name);
  }
});

t.test('refusals carry a remedy', async (t) => {
  t.match(tunError(13, 'x').remedy, /root.*user namespace.*chmod/);
  t.match(tunError(2, 'x').remedy, /modprobe tun.*mknod/);
  t.match(tunError(5, 'x').message, /\(EIO\)/);
});

t.test('netlink codec', { skip }, async (t) => {
  const request = encodeRequest(24, 0x4, Uint8Array.of(1, 2, 3), [{ type: 7, value: Uint8Array.of(9) }]);
  t.equal(request.length, 16 + 4 + 8);
  t.same([...request.subarray(16)], [1, 2, 3, 0, 5, 0, 7, 0, 9, 0, 0, 0]);
  const attributes = decodeAttributes(request, 20);
  t.same([...attributes.keys()], [7]);
  t.same([...attributes.get(7)!], [9]);
  // An attribute that claims more than is there, and one that claims nothing, end the list.
  t.equal(decodeAttributes(Uint8Array.of(200, 0, 1, 0, 1, 2), 0).size, 0);
  t.equal(decodeAttributes(Uint8Array.of(0, 0, 1, 0, 1, 2), 0).size, 0);
  const truncated = Uint8Array.from(request.subarray(0, 20));
  t.equal(decodeAnswers(truncated, 4, []), 5, 'a message longer than its datagram is an I/O error');
});
