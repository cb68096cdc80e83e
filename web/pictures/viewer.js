// The page "Before and after": two pictures of one photograph on either side of a line, at their
// own pixels. Both sides show the same part of it, however far it is enlarged.
{
  const { tasks, photographs, amplification, folder } = self.eamambaPictures;
  const root = document.getElementById('pictures');
  const element = (selector) => root.querySelector(selector);
  const control = (name) => root.querySelector(`[name="${name}"]`);
  const sides = ['left', 'right'];
  const MOVES = { w: [1, 0], a: [0, 1], s: [-1, 0], d: [0, -1] }; // down and right
  const STRIDE = 32; // pixels of the picture that a key moves it by

  let centre = [0.5, 0.5]; // of the part on show, as shares of the height and the width

  const task = () => tasks[control('task').selectedIndex];
  const condition = () => task().conditions[task().conditions.length > 1 ? control('dial').value : 0];
  const shown = () => condition().photographs[control('photograph').selectedIndex];

  function image(file) {
    const made = new Image();
    made.src = folder + file;
    made.alt = '';
    made.draggable = false;
    return made;
  }

  function fill() {
    const files = shown();
    const photograph = photographs[control('photograph').selectedIndex];
    for (const side of sides) {
      const kind = control(side).value;
      const frame = element(`.pictures-frame[slot="${side === 'left' ? 'first' : 'second'}"]`);
      const layers = kind === 'error' ? [files.restored, photograph.truth] : [
        kind === 'truth' ? photograph.truth : files[kind],
      ];
      frame.classList.toggle('pictures-error', kind === 'error');
      frame.firstElementChild.replaceChildren(...layers.map(image));
    }
    const db = (value) => `${value.toFixed(2)} dB`;
    element('.scripted-said').textContent =
      `${task().title}${condition().label}: ` +
      `${db(files.psnr_input_db)} before, ${db(files.psnr_db)} after (${task().protocol})`;
    control('dial').closest('label').hidden = task().conditions.length === 1;
    element('output').textContent = condition().label.replace(', ', '');
    place();
  }

  /** Height and width of the whole picture in pixels of the screen. */
  function whole() {
    const { height, width } = photographs[control('photograph').selectedIndex];
    return [height, width].map((pixels) => pixels * Number(control('zoom').value));
  }

  /** Put both pictures under their frames, as large and at the place that the page says. */
  function place() {
    const room = [0.75 * window.innerHeight, element('.pictures-view').clientWidth];
    const frame = whole().map((pixels, axis) => Math.min(pixels, room[axis]));
    centre = centre.map((share, axis) => {
      const margin = frame[axis] / 2 / whole()[axis];
      return Math.min(Math.max(share, margin), 1 - margin);
    });
    const [top, left] = centre.map((share, axis) =>
      Math.round(frame[axis] / 2 - share * whole()[axis]),
    );
    const size = ([height, width]) => ({ height: `${height}px`, width: `${width}px` });
    for (const { style, firstElementChild: layers } of root.querySelectorAll('.pictures-frame')) {
      // a finger moves the picture where it can, and the page otherwise
      const touchAction = whole()[0] > frame[0] ? 'none' : 'pan-y';
      Object.assign(style, size(frame), { touchAction });
      Object.assign(layers.style, size(whole()), { transform: `translate(${left}px, ${top}px)` });
    }
  }

  /** Move the picture by pixels of the screen, [down, right]. */
  function pan(move) {
    centre = centre.map((share, axis) => share - move[axis] / whole()[axis]);
    place();
  }

  function listen() {
    root.addEventListener('input', fill);
    const slider = element('img-comparison-slider');
    let last;
    slider.addEventListener('pointerdown', (event) => {
      if (!event.target.closest('.pictures-frame')) return; // the handle
      last = [event.clientY, event.clientX];
      slider.setPointerCapture(event.pointerId);
    });
    slider.addEventListener('pointermove', (event) => {
      if (!last) return;
      const now = [event.clientY, event.clientX];
      pan(now.map((at, axis) => at - last[axis]));
      last = now;
    });
    for (const end of ['pointerup', 'pointercancel']) {
      slider.addEventListener(end, () => (last = undefined));
    }
    slider.addEventListener('keydown', (event) => {
      if (event.key === '+' || event.key === '-') {
        const zoom = control('zoom');
        const index = zoom.selectedIndex + (event.key === '+' ? 1 : -1);
        zoom.selectedIndex = Math.min(Math.max(index, 0), zoom.length - 1);
        place();
      }
      const move = MOVES[event.key.toLowerCase()];
      if (move && !event.ctrlKey && !event.metaKey && !event.altKey) {
        pan(move.map((way) => way * STRIDE * Number(control('zoom').value)));
      }
    });
    // the component moves its line with these keys; the book would turn its page, too
    slider.addEventListener('keydown', (event) => {
      if (event.key.startsWith('Arrow')) event.stopPropagation();
    });
    new ResizeObserver(place).observe(element('.pictures-view'));
  }

  for (const { title } of tasks) control('task').append(new Option(title));
  photographs.forEach((_, n) => control('photograph').append(new Option(`no. ${n + 1}`)));
  const kinds = {
    input: 'input', restored: 'restored', truth: 'truth', error: `error × ${amplification}`,
  };
  for (const side of sides) {
    for (const [kind, name] of Object.entries(kinds)) control(side).append(new Option(name, kind));
  }
  control('right').value = 'restored';
  const { conditions } = tasks[0];
  Object.assign(control('dial'), { max: conditions.length - 1, value: conditions.length >> 1 });
  root.style.setProperty('--amplification', amplification);
  root.hidden = false;
  document.getElementById('pictures-failed').hidden = true;
  listen();
  fill();
}
