"""What Wikipedia's 20 languages of the paper call their namespaces and the sections that hold no prose

A dump names its own namespaces in its siteinfo, but not every one has it and some are wrong; English names work in
every language. Source: MediaWiki's own message files, and the headings as they stand in the articles.
"""

from __future__ import annotations

from packtrain.data.words import words

LANGUAGES = (
    "bg",
    "ca",
    "cs",
    "da",
    "de",
    "en",
    "es",
    "fr",
    "hr",
    "hu",
    "it",
    "nl",
    "pl",
    "pt",
    "ro",
    "ru",
    "sl",
    "sr",
    "sv",
    "uk",
)

# 6 is files, 14 is categories, 10 is templates; media links too are files
FILES = words(
    """
    file image media файл картинка изображение fitxer imatge soubor fil billede datei bild archivo imagen
    fichier datoteka slika fájl kép immagine bestand afbeelding plik grafika ficheiro imagem arquivo fișier
    imagine слика датотека зображення медия медиа медіа médiá média multimédia медиј mèdia medij multimedia
    médias medios média медий
    """
)
CATEGORIES = words(
    """
    category категория categoria kategorie kategori categoría catégorie kategorija kategória categorie kategoria
    категорија категорія
    """
)

# Lists of links and of sources: what stands under them is no prose
SOURCES = frozenset(
    name.strip()
    for name in """
    references|notes|footnotes|notes and references|references and notes|citations|sources|bibliography
    |further reading|external links|see also|works cited|notes and citations
    |einzelnachweise|weblinks|literatur|siehe auch|anmerkungen|quellen|fußnoten|belege
    |références|notes et références|liens externes|voir aussi|bibliographie|articles connexes|annexes|notes
    |sources|lien externe
    |referencias|enlaces externos|véase también|bibliografía|notas|notas y referencias|fuentes
    |note|collegamenti esterni|voci correlate|bibliografia|altri progetti|riferimenti
    |referências|ligações externas|ver também|bibliografia|notas|notas e referências
    |referències|enllaços externs|vegeu també|bibliografia|notes|notes i referències
    |referenties|externe links|externe link|zie ook|literatuur|bronnen|bronnen, noten en/of referenties|noten
    |referenser|externa länkar|se även|litteratur|källor|noter|vidare läsning
    |referencer|eksterne henvisninger|se også|litteratur|kilder|noter|fodnoter
    |przypisy|linki zewnętrzne|zobacz też|bibliografia|uwagi
    |reference|externí odkazy|související články|literatura|poznámky|odkazy
    |jegyzetek|források|külső hivatkozások|további információk|lásd még|irodalom|hivatkozások
    |referințe|legături externe|vezi și|bibliografie|note|note și referințe|note bibliografice|lectură suplimentară
    |примечания|ссылки|литература|см. также|источники|сноски|комментарии
    |примітки|посилання|література|див. також|джерела|виноски
    |бележки|външни препратки|източници|вижте също|литература|бележки и източници
    |референце|спољашње везе|види још|извори|литература|напомене|reference|spoljašnje veze|vidi još
    |izvori|vanjske poveznice|literatura|povezani članci|bilješke|poveznice
    |sklici|zunanje povezave|viri|glej tudi|opombe|sklici in opombe|literatura
    """.replace("\n", "").split("|")
    if name.strip()
)
