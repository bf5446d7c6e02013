import { expect, test } from '@playwright/test';
import { photograph } from './stage/photo';
import { stories } from './stage/story';

const hanzi = '院子里的柿子树今年结了很多果子，外婆说霜打过的才甜。';

stories('what can be said', (cast) => {
  test('twenty thousand characters of Chinese', async () => {
    const { mei, tom } = cast;
    const text = `始${hanzi.repeat(1000).slice(0, 19_998)}终`;
    expect(Array.from(text)).toHaveLength(20_000);
    await mei.says(text);
    await tom.sees(/^.*始院子里/);
    const arrived = tom.message(/始院子里/);
    await tom.taps(arrived.getByRole('button', { name: 'Read on' }));
    await expect.poll(() => arrived.locator('.words').innerText(), { timeout: 60_000 }).toBe(text);
    await mei.hasTick('始院子里', 'Read by Tomás');
  });

  test('twenty thousand letters and not one more', async () => {
    const { mei, tom } = cast;
    const text = `begin ${'word '.repeat(3_998)}end.`;
    expect(text).toHaveLength(20_000);
    await tom.writes(tom.composer, `${text}!`);
    await expect(tom.page.getByText(/^Too long by 1\./)).toBeVisible();
    await expect(tom.button('Send')).toBeDisabled();
    await tom.says(text);
    await mei.sees(/begin word/);
    await mei.taps(mei.message(/begin word/).getByRole('button', { name: 'Read on' }));
    await expect.poll(() => mei.message(/begin word/).locator('.words').innerText()).toBe(text);
  });

  test('emoji, several scripts and lines', async () => {
    const { mei, tom } = cast;
    for (const text of ['👩‍👩‍👧‍👦 🇨🇭 👍🏽 ❤️‍🔥', 'مرحبا بك في البيت', 'ขอบคุณมาก', 'first line\n\n  third line', 'Z̸a̵l̷g̶o̴ ＡＢＣ', '𠮷野家 で 会おう']) {
      await mei.says(text);
      await expect.poll(async () => (await tom.all()).filter((one) => one === text)).toHaveLength(1);
    }
  });

  test('links can be followed, markup is only words', async () => {
    const { mei, tom } = cast;
    await mei.says('look: https://kitchen.example.org/hoshigaki?for=mei#slow and <img src=x onerror="document.title=1"> **bold**');
    const message = tom.message('look:');
    const link = message.getByRole('link');
    await expect(link).toHaveAttribute('href', 'https://kitchen.example.org/hoshigaki?for=mei#slow');
    await expect(link).toHaveAttribute('rel', /noopener/);
    await expect(link).toHaveAttribute('rel', /noreferrer/);
    await expect(message).toContainText('<img src=x onerror="document.title=1"> **bold**');
    await expect(message.locator('img')).toHaveCount(0);
    await mei.says('javascript:alert(1) data:text/html,hi');
    await tom.sees('javascript:alert(1)');
    await expect(tom.message('javascript:alert(1)').getByRole('link')).toHaveCount(0);
  });

  test('what is no photo is not sent, whatever it calls itself', async () => {
    const { mei, tom } = cast;
    const script = '<script>document.title = "taken"</script>';
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10">${script}</svg>`;
    for (const [name, mimeType, text] of [
      ['page.jpg', 'image/jpeg', `<!doctype html>${script}`],
      ['drawing.svg', 'image/svg+xml', svg],
    ] as const) {
      const before = (await tom.all()).length;
      await mei.chooses(mei.button('Add a photo'), { name, mimeType, buffer: Buffer.from(text) });
      // What cannot be shown is told and left out at once; a drawing can be shown, and is refused when it is sent.
      if (name === 'drawing.svg') await mei.presses('Send photo');
      await mei.reads(/^This browser cannot read the photo\. It was left out\./);
      if (name === 'drawing.svg') {
        await expect(mei.button('Send photo')).toBeEnabled(); // while it is being sent, nothing else is
        await mei.presses('Leave this photo out');
      }
      await expect(mei.button('Leave this photo out')).toHaveCount(0);
      await mei.says(`so much for ${name}`);
      await tom.sees(`so much for ${name}`);
      expect(await tom.all()).toHaveLength(before + 1);
    }
    expect(await mei.page.title()).not.toBe('taken');
  });

  test('of several photos the one that cannot be sent stays, and the others go once', async () => {
    const { mei, tom } = cast;
    const rows = tom.page.locator('li[data-mid]');
    const before = await rows.count();
    const good = (n: number, buffer: Buffer): { name: string; mimeType: string; buffer: Buffer } => ({ name: `good${String(n)}.jpg`, mimeType: 'image/jpeg', buffer });
    const drawing = { name: 'drawing.svg', mimeType: 'image/svg+xml', buffer: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>') };
    await mei.chooses(mei.button('Add a photo'), [good(1, await photograph(mei.page, 300, 200, 1)), drawing, good(2, await photograph(mei.page, 200, 300, 2))]);
    await mei.writes(mei.field('Caption'), 'two of three');
    await mei.presses('Send 3 photos');
    await mei.reads(/^This browser cannot read the photo\. It was left out\./);
    await tom.sees('two of three');
    await expect(mei.button('Leave this photo out')).toHaveCount(2);
    await mei.taps(mei.button('Leave this photo out').first());
    await mei.presses('Send photo');
    await expect(mei.button('Leave this photo out')).toHaveCount(0);
    await expect(rows).toHaveCount(before + 2);
    expect((await tom.all()).filter((text) => text.includes('two of three'))).toHaveLength(1);
  });
});
