// The page "Restore your photo here". A classic script: pages opened as files may load no modules,
// but those whose text runtime.js carries.
{
  const MAX_WORKERS = 4;
  const MAX_MEGAPIXELS = 24; // of the result; more would not fit the memory of a phone's browser

  const { network: networkSource, tiles: tilesSource, kernels, models } = self.eamambaRuntime;
  const root = document.getElementById('restore');
  const element = (selector) => root.querySelector(selector);
  const control = (name) => root.querySelector(`[name="${name}"]`);
  const folder = document.currentScript.src.replace(/[^/]*$/, '');

  let photo; // {name, canvas}
  let job; // while one runs: {cancelled, workers}
  let before; // canvases of the result on show
  let after;

  /** Bytes of base64 text. */
  const bytesOf = (text) =>
    Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  function importText(source) {
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
    return import(url).finally(() => URL.revokeObjectURL(url));
  }

  /** Load a script of data beside this one; a page opened as a file may load nothing else. */
  function loadScript(name) {
    const script = document.createElement('script');
    return new Promise((resolve, reject) => {
      script.src = folder + name;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${name} is missing beside this page`));
      document.head.append(script);
    }).finally(() => script.remove());
  }

  function say(text, isError = false) {
    const status = element('.restore-status');
    status.textContent = text;
    status.classList.toggle('scripted-error', isError);
  }

  function canvasOf(width, height) {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width, height });
    // read and written pixel by pixel: keep it in ordinary memory
    const context = canvas.getContext('2d', { willReadFrequently: true });
    return { canvas, context };
  }

  function enlarged(picture, [width, height]) {
    const { canvas, context } = canvasOf(width, height);
    context.imageSmoothingQuality = 'high';
    context.drawImage(picture, 0, 0, width, height);
    return canvas;
  }

  const megapixels = (width, height) => (width * height) / 1e6;
  const chosen = () => models.find(({ name }) => name === control('model').value);

  async function open(file) {
    if (job) return;
    let bitmap;
    try {
      bitmap = await createImageBitmap(file); // upright by its EXIF data, in sRGB
    } catch {
      say(
        `this browser cannot read ${file.name || 'this file'}; convert it to JPEG, PNG ` +
          'or WebP first',
        true,
      );
      return;
    }
    const { canvas, context } = canvasOf(bitmap.width, bitmap.height);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    photo = { name: file.name || 'photo', canvas };
    element('.restore-photo').textContent =
      `${photo.name}: ${canvas.width} × ${canvas.height} pixels`;
    element('.restore-result').hidden = true;
    control('start').disabled = false;
    say('');
  }

  /** What `restorePhoto` reads from. */
  function source({ canvas }) {
    const context = canvas.getContext('2d');
    const read = (rows, columns) => {
      const [top, left] = [Math.min(...rows), Math.min(...columns)];
      const [height, width] = [Math.max(...rows) - top + 1, Math.max(...columns) - left + 1];
      const { data } = context.getImageData(left, top, width, height);
      const part = new Float32Array(3 * rows.length * columns.length);
      let to = 0;
      for (const row of rows) {
        for (const column of columns) {
          const from = 4 * ((row - top) * width + column - left);
          for (let i = 0; i < 3; i++) part[to++] = data[from + i] / 255;
        }
      }
      return part;
    };
    return { height: canvas.height, width: canvas.width, read };
  }

  /** A function that writes a restored row into a picture. */
  function rowWriter(to) {
    const pixels = to.createImageData(to.canvas.width, 1);
    pixels.data.fill(255);
    return (y, row) => {
      for (let x = 0; x < pixels.width; x++) {
        // assigning rounds and clips
        for (let i = 0; i < 3; i++) pixels.data[4 * x + i] = 255 * row[3 * x + i];
      }
      to.putImageData(pixels, 0, y);
    };
  }

  async function loadWeights({ name }) {
    if (!self.eamambaWeights?.[name]) await loadScript(`models/${name}.js`);
    const weights = bytesOf(self.eamambaWeights[name]);
    delete self.eamambaWeights[name]; // the text is larger than the bytes; the browser caches it
    return weights;
  }

  /** Start workers; the job holds them, so that they can be stopped. */
  async function startWorkers({ Workers }, relaxed, model, count) {
    const kernel = bytesOf(relaxed ? kernels.relaxed : kernels.plain);
    if (!WebAssembly.validate(kernel)) {
      throw new Error('this browser lacks vector instructions (WebAssembly SIMD); use a newer one');
    }
    const weights = await loadWeights(model);
    job.workers = await Workers.start(networkSource, kernel, weights, count);
    if (job.cancelled) throw new DOMException('cancelled', 'AbortError');
  }

  async function restore() {
    const model = chosen();
    const { canvas: input } = photo;
    const size = [input.width * model.scale, input.height * model.scale];
    if (megapixels(...size) > MAX_MEGAPIXELS) {
      const total = megapixels(...size).toFixed(0);
      say(
        `the result would have ${total} megapixels, at most ${MAX_MEGAPIXELS} fit here: crop the ` +
          'photograph, or use the command line',
        true,
      );
      return;
    }
    job = {};
    setBusy(true);
    say('loading the network …');
    try {
      const [{ hasRelaxedSimd }, tiling] = await Promise.all(
        [networkSource, tilesSource].map(importText),
      );
      const relaxed = hasRelaxedSimd();
      const workers = Math.min(navigator.hardwareConcurrency ?? 1, MAX_WORKERS);
      const tile = tiling.bestTile(input, model, workers);
      const tiles = Math.ceil(input.width / tile) * Math.ceil(input.height / tile);
      await startWorkers(tiling, relaxed, model, Math.min(workers, tiles));
      const unchanged = model.scale === 1 ? input : enlarged(input, size);
      const { canvas: restored, context } = canvasOf(...size);
      const start = performance.now();
      say('restoring …');
      await tiling.restorePhoto(source(photo), job.workers, rowWriter(context), {
        tile,
        progress: (done, total) => showProgress(done, total, performance.now() - start),
      });
      context.globalCompositeOperation = 'destination-in'; // keep what was transparent
      context.drawImage(unchanged, 0, 0);
      show(unchanged, restored);
      say(summary(model, input, tile, (performance.now() - start) / 1000, relaxed));
    } catch (error) {
      if (error.name === 'AbortError') say('cancelled');
      else say(error.message, true);
    } finally {
      job.workers?.stop();
      job = undefined;
      setBusy(false);
    }
  }

  function summary({ name }, input, tile, seconds, relaxed) {
    const size = megapixels(input.width, input.height);
    const workers = job.workers.parallel;
    return (
      `${name}: ${size.toFixed(2)} megapixels in ${seconds.toFixed(1)} s, ` +
      `${((seconds * workers) / size).toFixed(1)} s per megapixel and worker ` +
      `(${workers} ${workers === 1 ? 'worker' : 'workers'}, ` +
      `${relaxed ? 'relaxed' : 'plain'} SIMD, tiles of ${tile})`
    );
  }

  function cancel() {
    job.cancelled = true;
    job.workers?.stop();
  }

  function showProgress(done, total, milliseconds) {
    Object.assign(element('progress'), { max: total, value: done });
    const left = (milliseconds / 1000 / done) * (total - done);
    const minutes = left > 90 ? `${Math.round(left / 60)} minutes` : `${Math.ceil(left)} s`;
    say(`about ${minutes} left`);
  }

  function setBusy(busy) {
    for (const name of ['start', 'model', 'example', 'file']) control(name).disabled = busy;
    control('cancel').hidden = element('progress').hidden = !busy;
    if (busy) element('progress').removeAttribute('value');
  }

  function show(unchanged, restored) {
    [before, after] = [unchanged, restored];
    element('.restore-pictures').replaceChildren(before, after);
    element('.restore-result').hidden = false;
    zoom();
    drawStrength();
  }

  /** Give the canvases the size in which one of their pixels is one (or more) of the screen. */
  function zoom() {
    if (!before) return;
    const view = element('.restore-pictures');
    const factor = Number(control('zoom').value);
    const width = factor
      ? (before.width * factor) / devicePixelRatio
      : Math.min(view.parentElement.clientWidth, before.width / devicePixelRatio);
    for (const { style } of [before, after]) {
      style.width = `${width}px`;
      style.imageRendering = factor ? 'pixelated' : 'auto';
    }
    view.style.width = `${Math.min(width, view.parentElement.clientWidth)}px`;
    drawCurtain();
  }

  function drawCurtain() {
    if (!after) return;
    const view = element('.restore-pictures');
    const position = Number(control('curtain').value) * view.clientWidth;
    after.style.clipPath = `inset(0 0 0 ${view.scrollLeft + position}px)`;
    element('.restore-line').style.left = `${position - 1}px`;
  }

  function drawStrength() {
    const strength = Number(control('strength').value);
    control('strength').nextElementSibling.value = `${Math.round(100 * strength)} %`;
    if (after) after.style.opacity = strength;
  }

  /** The picture as shown: the restored one, mixed with the one before by the chosen strength. */
  function mixed() {
    const strength = Number(control('strength').value);
    if (strength === 1) return after;
    const { canvas, context } = canvasOf(after.width, after.height);
    const [old, restored] = [before, after].map((one) => one.getContext('2d'));
    for (let y = 0; y < canvas.height; y++) {
      const row = old.getImageData(0, y, canvas.width, 1);
      const { data } = restored.getImageData(0, y, canvas.width, 1);
      for (let i = 0; i < data.length; i++) row.data[i] += strength * (data[i] - row.data[i]);
      context.putImageData(row, 0, y);
    }
    return canvas;
  }

  async function download() {
    const blob = await new Promise((resolve) => mixed().toBlob(resolve, 'image/png'));
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = `${photo.name.replace(/\.[^.]*$/, '')}_restored.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  async function openExample() {
    try {
      await loadScript('example.js');
      const { name, png } = self.eamambaExample;
      await open(new File([bytesOf(png)], name, { type: 'image/png' }));
    } catch (error) {
      say(error.message, true);
    }
  }

  function describe() {
    const { name, removes, limits, megabytes } = chosen();
    const link = document.createElement('a');
    link.href = `models.html#${name.replaceAll('_', '-')}`;
    link.textContent = name;
    const what = ` (${megabytes} MB). It removes ${removes}. ${limits.join(' ')}`;
    element('.restore-model').replaceChildren('Network: ', link, what);
  }

  function listen() {
    const drop = element('.restore-drop');
    const stop = (event) => event.preventDefault();
    drop.addEventListener('dragover', (event) => {
      stop(event);
      drop.classList.add('restore-over');
    });
    drop.addEventListener('dragleave', () => drop.classList.remove('restore-over'));
    drop.addEventListener('drop', (event) => {
      stop(event);
      drop.classList.remove('restore-over');
      if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
    });
    document.addEventListener('paste', ({ clipboardData }) => {
      if (clipboardData.files[0]) open(clipboardData.files[0]);
    });
    control('file').addEventListener('change', ({ target }) => {
      if (target.files[0]) open(target.files[0]);
      target.value = ''; // so that the same file can be chosen again
    });
    control('example').addEventListener('click', openExample);
    control('model').addEventListener('change', describe);
    control('start').addEventListener('click', restore);
    control('cancel').addEventListener('click', cancel);
    control('zoom').addEventListener('change', zoom);
    control('strength').addEventListener('input', drawStrength);
    control('curtain').addEventListener('input', drawCurtain);
    control('download').addEventListener('click', download);
    const pictures = element('.restore-pictures');
    pictures.addEventListener('scroll', drawCurtain);
    pictures.addEventListener('pointermove', (event) => {
      if (event.pointerType === 'touch' && !event.isPrimary) return;
      const box = pictures.getBoundingClientRect();
      control('curtain').value = (event.clientX - box.left) / pictures.clientWidth;
      drawCurtain();
    });
    addEventListener('resize', zoom);
  }

  for (const { name, title } of models) control('model').append(new Option(title, name));
  listen();
  describe();
  root.hidden = false;
  document.getElementById('restore-failed').remove();
}
