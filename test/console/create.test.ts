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
