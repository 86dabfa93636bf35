import t from 'tap';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { PSK, until, VPCS } from '../helpers/serve-lab.js';
import { skipWithoutBrowser, startBrowser, Visitor } from './browser.js';
import { addConnection, addGateway, EDITOR, openSite, seed } from './site.js';

const skip = skipWithoutTun() || skipWithoutProgram('ping') || skipWithoutBrowser();

t.test(
  'the steps of the document, in a browser: the tunnel comes up and a ping crosses',
  { skip },
  async (t) => {
    const lab = await openSite(t);
    const browser = await startBrowser(t);
    const [first, second] = [await addGateway(lab, 1), await addGateway(lab, 2)];
    await addConnection(lab, second, 2);
    const visitor = await Visitor.come(browser, lab.url);
    const { page } = visitor;
    await visitor.logIn(EDITOR);

    t.comment(seed('then click **Create connection** from the Actions menu'));
    await page.getByRole('button', { name: 'Actions of gateway-1' }).click();
    await page.getByRole('menuitem', { name: 'Create connection' }).click();
    await page.getByRole('heading', { name: 'Create VPN connection' }).waitFor();
    t.match(page.url(), `/console/gateways/${first}/create`);
    t.comment(
      seed(
        "Alternatively, on the gateway's details page, you can click **Create** in the VPN connections section.",
      ),
    );
    await visitor.open(`/gateways/${first}`);
    await page.getByRole('button', { name: 'Create', exact: true }).first().click();
    await page.getByRole('heading', { name: 'Create VPN connection' }).waitFor();

    t.comment(seed('Enter a name for the connection, such as `my-connection`.'));
    await page.getByLabel('VPN connection name').fill('my-connection');
    t.comment(seed('Specify the IP address of the VPN gateway for the network outside your VPC.'));
    await page.getByLabel('Peer gateway address').fill(VPCS[1]!.gatewayAddress);
    t.comment(seed('**Establish mode** - Select either **Bidirectional** or **Peer only**.'));
    for (const mode of ['Peer only', 'Bidirectional']) await page.getByText(`${mode}:`).click();
    t.ok(await page.getByRole('radio', { name: /^Bidirectional/ }).isChecked());
    t.comment(seed('The length of the string must be 6 - 128 characters.'));
    const key = page.getByLabel('Preshared key');
    for (const wrong of ['short', '0xabcdef123456', 'with space 1']) {
      await key.fill(wrong);
      await key.blur();
      await page.getByText('Enter 6 to 128 characters, not beginning with 0x or 0s.').waitFor();
    }
    await key.fill(PSK);
    t.comment(seed('Specify one or more CIDRs in the VPC that you want to connect through the VPN tunnel.'));
    await page.getByLabel('Local IBM CIDRs').fill(VPCS[0]!.cidr);
    t.comment(seed('Subnet range overlap between local and peer subnets is not allowed.'));
    const peers = page.getByLabel('Peer CIDRs');
    await peers.fill('10.1.0.0/16');
    await peers.blur();
    await page
      .getByText(/overlap/i)
      .nth(1)
      .waitFor();
    await peers.fill(VPCS[1]!.cidr);
    t.comment(seed('By default, messages are sent every 2 seconds.'));
    t.equal(await page.getByLabel('Interval (secs)').inputValue(), '2');
    t.comment(
      seed(
        "By default, a peer gateway is considered inactive if a response isn't received within 10 seconds.",
      ),
    );
    t.equal(await page.getByLabel('Timeout (secs)').inputValue(), '10');
    t.match(await page.getByLabel('Action').locator('option:checked').textContent(), 'Restart');
    t.comment(
      seed('Select **Auto** if you want the gateway to try to automatically establish the connection.'),
    );
    t.equal(await page.getByLabel('IKE policy').locator('option:checked').textContent(), 'Auto');

    t.comment(seed('Review the Summary panel, then click **Create VPN connection**.'));
    const summary = page.getByRole('complementary', { name: 'Summary' });
    for (const text of ['gateway-1', VPCS[1]!.gatewayAddress, VPCS[0]!.cidr, VPCS[1]!.cidr]) {
      await summary.getByText(text).first().waitFor();
    }
    await summary.getByRole('button', { name: 'Create VPN connection' }).click();
    await page.getByRole('heading', { name: 'my-connection' }).waitFor();
    await page.getByText(/The connection with 192.0.2.2 is up/).waitFor();
    await until('a ping crosses', async () => (await lab.ping(VPCS[0]!, VPCS[1]!.hostAddress)) > 0);
    await page.getByText('1 of 1 pair of networks carried').waitFor();
    await visitor.leave(t);
  },
);

t.test('a gateway and its first connection, with a policy made in place', { skip }, async (t) => {
  t.comment(
    seed(
      'In the IBM Cloud console, you can create the gateway and a connection at the same time.',
      'seed-001-vpn-service',
    ),
  );
  const lab = await openSite(t);
  const visitor = await Visitor.come(await startBrowser(t), lab.url);
  const { page } = visitor;
  await visitor.logIn(EDITOR);
  await page.getByRole('button', { name: 'Create gateway' }).first().click();
  await page.getByLabel('Name', { exact: true }).fill('my-gateway');
  await page.getByLabel('Subnet').selectOption({ label: 'subnet-1 (10.1.0.0/24, us-south-1)' });
  await page.getByText('Later').click();
  await page.getByLabel('VPN connection name').fill('my-connection');
  await page.getByLabel('Peer gateway address').fill('vpn.example.com');
  await page.getByLabel('Preshared key').fill(PSK);
  await page.getByLabel('Local IBM CIDRs').fill('10.1.0.0/24');
  await page.getByLabel('Peer CIDRs').fill('10.2.0.0/24, 10.3.0.0/24');
  t.comment(seed('Select or create custom policies if:'));
  await page.getByRole('button', { name: 'Create IKE policy' }).click();
  const modal = page.getByRole('dialog', { name: 'Create IKE policy' });
  await modal.getByLabel('Name').fill('my-policy');
  await modal.getByRole('button', { name: 'Create IKE policy' }).click();
  await page
    .getByLabel('IKE policy')
    .locator('option:checked', { hasText: 'my-policy' })
    .waitFor({ state: 'attached' });
  t.comment(seed('Select a type for the local IKE identity, then enter its value.'));
  await page.getByRole('button', { name: 'Advanced options' }).click();
  await page.getByLabel('Local IKE identity: type').selectOption('fqdn');
  await page.getByLabel('Local IKE identity: value').fill('my-vpn.example.com');
  await page.getByRole('button', { name: 'Create VPN gateway' }).click();
  await page.getByRole('heading', { name: 'my-gateway' }).waitFor();
  await page.getByRole('link', { name: 'my-connection' }).click();
  await page.getByText('my-vpn.example.com (fqdn)').waitFor();
  await page.getByText('10.2.0.0/24, 10.3.0.0/24').first().waitFor();
  t.equal(await page.getByText('my-policy').count(), 1);
  await visitor.leave(t);
});
