import t from 'tap';
import { DerTag, derContents, derInteger, derValue } from '../../src/crypto/backends/openssl/der.js';
import { fromHex, toHex } from '../../src/util/bytes.js';

t.test('lengths in their shortest form, integers without superfluous octets', async (t) => {
  for (const [value, hex] of [
    ['', '020100'],
    ['00', '020100'],
    ['0000', '020100'],
    ['7f', '02017f'],
    ['80', '02020080'],
    ['000001', '020101'],
    ['ff'.repeat(126), `027f00${'ff'.repeat(126)}`],
    ['7f'.repeat(128), `028180${'7f'.repeat(128)}`],
    ['7f'.repeat(256), `02820100${'7f'.repeat(256)}`],
  ] as const) {
    const der = derInteger(fromHex(value));
    t.equal(toHex(der), hex);
    t.equal(derContents(der, 0).end, der.length);
    t.equal(
      toHex(der.subarray(derContents(der, 0).start)).replace(/^(00)+(?=.)/, ''),
      value.replace(/^(00)+(?=.)/, '') || '00',
    );
  }
  t.throws(() => derValue(DerTag.SEQUENCE, new Uint8Array(65536)), RangeError);
});
