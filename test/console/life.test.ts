import t from 'tap';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { PSK } from '../helpers/serve-lab.js';
import { skipWithoutBrowser, startBrowser, Visitor } from './browser.js';
import { addConnection, addGateway, EDITOR, openSite, VIEWER } from './site.js';

const skip = skipWithoutTun() || skipWithoutBrowser();
const EVIL = '<img src=x onerror="document.title=1">';

t.test('what goes wrong is said, and nothing is lost by it', { skip }, async (t) => {
  const lab = await openSite(t);
  const browser = await startBrowser(t);
  const [first, second] = [await addGateway(lab, 1), await addGateway(lab, 2)];
  const id = await addConnection(lab, first, 1, { psk: 'another-key-k7Qv2X-mJ9wRt4z' });
  await addConnection(lab, second, 2, { establish_mode: 'peer_only' });
  const place = `/gateways/${first}/${id}`;

  await t.test('a viewer sees no key and no button', async (t) => {
    const visitor = await Visitor.come(browser, lab.url);
    const { page } = visitor;
    await visitor.logIn(VIEWER);
    await visitor.open(place);
    await page.getByText('Cause:').waitFor();
    for (const name of ['Change', 'Set this key', 'Start the capture']) {
      t.equal(await page.getByRole('button', { name }).count(), 0, name);
    }
    t.notMatch(await page.content(), 'another-key');
    await visitor.leave(t);
  });

  await t.test('a wrong key is explained, and mended where it is explained', async (t) => {
    const visitor = await Visitor.come(browser, lab.url);
    const { page } = visitor;
    await visitor.logIn(EDITOR);
    await visitor.open(place);
    await page.getByText('Cause:').waitFor();
    await page
      .getByText(/pre-shared key/)
      .first()
      .waitFor();
    await page.getByLabel('The key that the peer has').fill(PSK);
    await page.getByRole('button', { name: 'Set this key' }).click();
    await page.getByText(/The connection with 192.0.2.2 is up/).waitFor();
    await visitor.leave(t);
  });

  await t.test('a login that ends, a server that restarts, and texts that want to be code', async (t) => {
    const visitor = await Visitor.come(browser, lab.url);
    const { page } = visitor;
    await visitor.logIn(EDITOR);
    await visitor.open(`/gateways/${second}/create`);
    await page.getByLabel('VPN connection name').fill(EVIL);
    await page.getByLabel('Peer gateway address').fill(EVIL);
    await page.getByLabel('Peer gateway address').blur();
    await page.getByText('Enter a name of 1 to 63').first().waitFor();
    await page.getByRole('complementary').getByText(EVIL).first().waitFor();
    t.notMatch(await page.title(), /^1/);
    await visitor.context.clearCookies();
    await page.getByRole('button', { name: 'Create VPN connection' }).click();
    await page.getByLabel('Peer CIDRs').fill('10.77.0.0/16');
    await page.getByLabel('VPN connection name').fill('half-made');
    await page.getByLabel('Peer gateway address').fill('192.0.2.77');
    await page.getByLabel('Preshared key').fill(PSK);
    await page.getByLabel('Local IBM CIDRs').fill('10.2.0.0/24');
    await page.getByText('Your login has expired').waitFor();
    await page.getByLabel('Token or API key').fill(EDITOR);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('Your login has expired').waitFor({ state: 'detached' });
    t.equal(await page.getByLabel('VPN connection name').inputValue(), 'half-made');

    await lab.end('SIGKILL');
    await page.getByRole('button', { name: 'Create VPN connection' }).click();
    await page.getByText('The server cannot be reached').first().waitFor();
    await page.getByText(/has not been heard since/).waitFor();
    lab.configure({ listen: lab.url.replace('http://', '') });
    await lab.start();
    await page.getByText(/has not been heard since/).waitFor({ state: 'detached' });
    t.equal(await page.getByLabel('Peer gateway address').inputValue(), '192.0.2.77', 'nothing is lost');
    await page.getByRole('button', { name: 'Create VPN connection' }).click();
    await page.getByRole('heading', { name: 'half-made' }).waitFor();
    await visitor.context.close();
  });
});
