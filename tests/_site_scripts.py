"""What the tests of the site ask a browser about a page: JavaScript, each a function."""

BEYOND_THE_EDGE = "() => document.documentElement.scrollWidth - window.innerWidth"

TOO_WIDE = """() => [...document.querySelectorAll("article pre")]
    .filter(code => code.scrollWidth > code.clientWidth).map(code => code.textContent)"""

# WCAG 2's contrast of each visible text with what is behind it, where that is too little.
FAINT = r"""() => {
    const parts = color => {
        const [red, green, blue, alpha = 1] = color.match(/[\d.]+(e-?\d+)?/g).map(Number);
        const scale = color.startsWith("color(") ? 255 : 1;
        return [red * scale, green * scale, blue * scale, alpha];
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((v, i) => v * a + below[i] * (1 - a));
    const behind = element => element
        ? over(parts(getComputedStyle(element).backgroundColor), behind(element.parentElement))
        : [255, 255, 255];
    const luminance = color => color.map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const found = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim();
        const element = walker.currentNode.parentElement;
        const isHidden = element.closest("style, script, noscript, title, [aria-hidden=true]")
            || !element.checkVisibility({opacityProperty: true, visibilityProperty: true});
        if (!text || isHidden) continue;
        const style = getComputedStyle(element), size = parseFloat(style.fontSize);
        const below = behind(element);
        const ink = parts(element instanceof SVGElement ? style.fill : style.color);
        const [dark, light] = [over(ink, below), below].map(luminance).sort((a, b) => a - b);
        const ratio = (light + 0.05) / (dark + 0.05);
        const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        if (ratio < (isLarge ? 3 : 4.5)) found.add(`${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
    }
    return [...found];
}"""

# Pictures that say nothing to those who cannot see them, or the name of their file. The title
# of an example stands beside its thumbnail.
NAMELESS = r"""() => {
    const plain = text => text.toLowerCase().replace(/^sphx_glr_|_\d+$/g, "")
        .replace(/[\W_]/g, "");
    return [...document.querySelectorAll("img, svg")].filter(picture => {
        const elsewhere = "[aria-hidden=true], .sphx-glr-thumbcontainer";
        if (picture.closest(elsewhere) || !picture.checkVisibility()) return false;
        const label = document.getElementById(picture.getAttribute("aria-labelledby"));
        const name = picture.alt ?? picture.getAttribute("aria-label") ?? label?.textContent ?? "";
        const file = (picture.getAttribute("src") ?? "").split("/").pop().split(".")[0];
        return !name.trim() || plain(name) === plain(file);
    }).map(picture => picture.outerHTML.slice(0, 120));
}"""
