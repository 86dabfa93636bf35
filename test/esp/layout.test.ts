import fc from 'fast-check';
import t from 'tap';
import { espLayout, espLength, innerMtu, padLength } from '../../src/esp/layout.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { ESP_SUITES, findSuite, suiteName } from '../helpers/esp.js';

t.test('the lengths the RFCs give', async (t) => {
  const cbc = espLayout(findSuite(Encr.AES_CBC, 256, Integ.HMAC_SHA2_512_256));
  t.match(cbc, { aead: false, keyLength: 32, ivLength: 16, icvLength: 32, alignment: 16, bodyOffset: 24 });
  const des = espLayout(findSuite(Encr.TRIPLE_DES, 0, Integ.HMAC_MD5_96));
  t.match(des, { keyLength: 24, ivLength: 8, icvLength: 12, alignment: 8, bodyOffset: 16 });
  const gcm = espLayout(findSuite(Encr.AES_GCM_16, 128));
  t.match(gcm, { aead: true, keyLength: 16, saltLength: 4, ivLength: 8, icvLength: 16, alignment: 4 });
  const chacha = espLayout(findSuite(Encr.CHACHA20_POLY1305, 0));
  t.match(chacha, {
    aead: true,
    keyLength: 32,
    saltLength: 4,
    ivLength: 8,
    icvLength: 16,
    minimumLength: 36,
  });
});

t.test('the ciphertext ends on the alignment with the least padding', async (t) => {
  for (const suite of ESP_SUITES) {
    const layout = espLayout(suite);
    for (let inner = 1; inner <= 200; inner++) {
      const padding = padLength(layout, inner);
      if (padding < 0 || padding >= layout.alignment) t.fail(`${padding} octets of padding`);
      if ((inner + padding + 2) % layout.alignment !== 0) t.fail(`${inner} octets are not aligned`);
    }
    t.pass(suiteName(suite));
  }
});

t.test('a packet of the inner MTU fits the path, one octet more does not', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ESP_SUITES),
      fc.integer({ min: 300, max: 9000 }),
      fc.constantFrom<4 | 6>(4, 6),
      fc.constantFrom<'udp' | 'esp'>('udp', 'esp'),
      (suite, pathMtu, family, encapsulation) => {
        const layout = espLayout(suite);
        const outer = (family === 4 ? 20 : 40) + (encapsulation === 'udp' ? 8 : 0);
        const inner = innerMtu(suite, pathMtu, family, encapsulation);
        return outer + espLength(layout, inner) <= pathMtu && outer + espLength(layout, inner + 1) > pathMtu;
      },
    ),
  );
  t.equal(innerMtu(findSuite(Encr.AES_GCM_16, 128), 1500, 4, 'udp'), 1438);
  t.equal(innerMtu(findSuite(Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128), 1500, 4, 'udp'), 1422);
  t.equal(innerMtu(findSuite(Encr.AES_GCM_16, 128), 40, 6, 'udp'), 0, 'a path too small for any packet');
});

t.test('what cannot be laid out is refused', async (t) => {
  const gcm = findSuite(Encr.AES_GCM_16, 128);
  t.throws(() => espLayout({ ...gcm, esn: true }), { name: 'RangeError', message: /extended sequence/ });
  t.throws(() => espLayout({ ...gcm, integrity: Integ.HMAC_SHA1_96 }), { name: 'RangeError' });
  t.throws(() => espLayout({ ...gcm, encryption: { id: Encr.AES_CCM_16, keyBits: 128 } }), {
    name: 'RangeError',
  });
  t.throws(() => espLayout({ ...gcm, encryption: { id: Encr.AES_CBC, keyBits: 128 } }), {
    name: 'RangeError',
  });
});
