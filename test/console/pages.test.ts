import t from 'tap';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { skipWithoutBrowser, startBrowser, Visitor } from './browser.js';
import { addConnection, addGateway, call, EDITOR, openSite } from './site.js';

const skip = skipWithoutTun() || skipWithoutBrowser();

t.test('every page, in both themes and at every width', { skip }, async (t) => {
  const lab = await openSite(t);
  const browser = await startBrowser(t);
  const [first, second] = [await addGateway(lab, 1), await addGateway(lab, 2)];
  const good = await addConnection(lab, first, 1);
  await addConnection(lab, second, 2);
  const peer = { address: '192.0.2.77', cidrs: ['10.77.0.0/16'] };
  const down = await addConnection(lab, first, 1, { name: 'to-a-peer-that-does-not-answer', peer });
  const ike = {
    ike_version: 2,
    encryption_algorithm: 'aes256',
    authentication_algorithm: 'sha512',
    dh_group: 20,
  };
  await call(lab, 'POST', '/ike_policies', { ...ike, name: 'strong' });
  const old = { encryption_algorithm: '3des', authentication_algorithm: 'md5', dh_group: 2 };
  await call(lab, 'POST', '/ike_policies', { ...ike, ...old, name: 'as-the-old-peer-has-it' });
  await call(lab, 'POST', `/vpcs/${await vpcOf('vpc-1')}/routing_tables`, {
    name: 'web',
    routes: [{ destination: '10.9.0.0/16', zone: { name: 'us-south-1' }, next_hop: { address: '10.1.0.9' } }],
  }).catch(() => undefined);
  const visitor = await Visitor.come(browser, lab.url);
  const { page } = visitor;

  await visitor.open('/');
  await page.getByRole('button', { name: 'Log in' }).waitFor();
  await visitor.inspect(t, 'login');
  await visitor.logIn(EDITOR);
  await page.getByText('1 of 2').waitFor();
  await visitor.inspect(t, 'gateways');
  for (const [name, path, sign] of [
    ['gateway', `/gateways/${first}`, 'object-created'],
    ['connection', `/gateways/${first}/${good}`, '1 of 1 pair of networks carried'],
    ['connection-down', `/gateways/${first}/${down}`, 'Cause:'],
    ['create-connection', `/gateways/${first}/create`, 'Summary'],
    ['edit-connection', `/gateways/${first}/${good}/edit`, 'Summary'],
    ['create-gateway', '/gateways/create', 'Virtual private cloud'],
    ['policies', '/policies/ike', 'as-the-old-peer-has-it'],
    ['routes', '/routes', 'Accepts routes from'],
    ['audit', '/audit', 'culvert.login.create'],
    ['access', '/access', 'Tokens and API keys'],
  ] as const) {
    await visitor.open(path);
    await page.getByText(sign).first().waitFor();
    await visitor.inspect(t, name);
  }

  await t.test('of a thousand connections those in sight are on the page', async (t) => {
    const [one] = (
      (await call(lab, 'GET', `/vpn_gateways/${first}/connections`)) as { connections: object[] }
    ).connections;
    const connections = Array.from({ length: 1000 }, (_, n) => ({
      ...one,
      id: `0717-${n}`,
      name: `connection-${n}`,
    }));
    await page.route('**/connections?**', (route) =>
      route.fulfill({ json: { connections, total_count: 1000 } }),
    );
    await visitor.open(`/gateways/${first}`);
    await page.getByRole('link', { name: 'connection-0', exact: true }).waitFor();
    const rows = page.getByRole('table', { name: 'VPN connections' }).getByRole('row');
    t.ok((await rows.count()) < 150, 'few rows');
    await page.getByRole('region', { name: 'Events' }).scrollIntoViewIfNeeded();
    await page.getByRole('link', { name: 'connection-999' }).waitFor();
    t.ok((await rows.count()) < 150, 'and others further down');
    await page.getByPlaceholder('Search').fill('connection-77 ');
    await page.getByRole('link', { name: 'connection-777' }).waitFor();
    t.equal(await rows.count(), 12, 'the head, 77 and 770 to 779');
  });
  await visitor.leave(t);

  async function vpcOf(name: string): Promise<string> {
    const { vpcs } = (await call(lab, 'GET', '/vpcs')) as { vpcs: { id: string; name: string }[] };
    return vpcs.find((vpc) => vpc.name === name)!.id;
  }
});
