import { expect, test } from 'vitest';
import { deviceName } from './device';

const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1';
const IPAD = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15';
const ANDROID = 'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36';

test.each([
  [IPHONE, 5, 'Safari · iPhone'],
  [IPAD, 5, 'Safari · iPad'],
  [IPAD, 0, 'Safari · Mac'],
  [ANDROID, 5, 'Chrome · Android'],
  ['', 0, 'Browser'],
])('a device has a name', (agent, touch, name) => {
  expect(deviceName(agent, touch)).toBe(name);
});
