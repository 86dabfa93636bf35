import t from 'tap';
import { ApiLab, PSK, policyConnection } from '../helpers/api-lab.js';

t.test('a key by the API that can be guessed is logged when it is stored, and never shown', async (t) => {
  const lab = await ApiLab.open(t);
  const list = `/vpn_gateways/${await lab.gateway('gw')}/connections`;
  const advised = (): { connection: string; msg: string }[] =>
    lab.log.map((line) => JSON.parse(line)).filter(({ advisory }) => advisory === 'weak_psk');
  const { body } = await lab.post(list, policyConnection(1, { psk: 'correct-horse-battery' }));
  t.match(advised(), [
    {
      connection: body.id,
      msg: /^connection connection-1: The pre-shared key is made of words: .*culvert psk/,
    },
  ]);
  await lab.post(list, policyConnection(2, { psk: 'correct-horse-battery', peer: { address: 'nowhere' } }));
  await lab.patch(`${list}/${body.id}`, { name: 'renamed' });
  await lab.patch(`${list}/${body.id}`, { psk: PSK });
  t.equal(advised().length, 1, 'not for what is refused, a change of something else, or a strong key');
  await lab.patch(`${list}/${body.id}`, { psk: 'aaaaaaaaaaaaaaaaaaaaaaaa' });
  t.match(advised()[1]?.msg, /^connection renamed: The pre-shared key repeats itself/);
  t.notMatch(lab.log.join(''), /correct-horse|aaaaaa/);
});

t.test('the API takes keys as texts', async (t) => {
  const lab = await ApiLab.open(t);
  const list = `/vpn_gateways/${await lab.gateway('gw')}/connections`;
  const encoded = await lab.post(list, policyConnection(1, { psk_encoding: 'hex' }));
  t.match(encoded, {
    status: 400,
    body: { errors: [{ code: 'bad_field', target: { name: 'psk_encoding' } }] },
  });
  const prefixed = await lab.post(list, policyConnection(1, { psk: '0xdeadbeefdeadbeef' }));
  t.match(prefixed, { status: 400, body: { errors: [{ code: 'vpn_connection_invalid_psk_format' }] } });
  t.match(prefixed.body.errors[0].message, /^psk begins with 0x or 0s/);
  t.notMatch(
    prefixed.body.errors[0].message,
    /psk_encoding|deadbeef/,
    'which would be a field of the file alone',
  );
});
