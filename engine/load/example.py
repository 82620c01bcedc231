"""A small complete set of files that loads cleanly: warehouses, stores, skus, stock, a network with two profiles."""

from pathlib import Path
from typing import Final

from engine.load.problems import LoadError

FILES: Final = {
    "locations.csv": """\
location_id,kind,display_name,latitude,longitude,time_zone,capabilities,active,location_groups
DC-EAST,warehouse,Leipzig warehouse,51.34,12.37,Europe/Berlin,ship|returns,true,germany
DC-WEST,warehouse,Dortmund warehouse,51.51,7.47,Europe/Berlin,ship|returns,true,germany
W-LINZ,warehouse,Linz warehouse,48.31,14.29,Europe/Vienna,ship|returns,true,austria
S-BERLIN,store,Berlin Mitte,52.52,13.40,Europe/Berlin,ship|pickup|returns,true,germany|flagship
S-MUNICH,store,Munich Centre,48.14,11.58,Europe/Berlin,ship|pickup|returns,true,germany|flagship
S-VIENNA,store,Vienna,48.21,16.37,Europe/Vienna,ship|pickup|returns,true,austria
S-GRAZ,store,Graz,47.07,15.44,Europe/Vienna,pickup|returns,true,austria
""",
    "skus.csv": """\
sku_id,base_unit,display_name,weight_milligrams,restrictions
JEANS-32,each,"Jeans, size 32",620000,
JEANS-34,each,"Jeans, size 34",640000,
SHIRT-RED-M,each,"Shirt, red, M",210000,
COAT-L,each,"Coat, L",1450000,
PERFUME-50,each,"Perfume, 50 ml",280000,flammable
MUG,each,Mug,350000,
COFFEE,gram,"Coffee beans, loose",1000,
""",
    "levels.csv": """\
sku_id,location_id,on_hand,safety_stock,backorder_limit
JEANS-32,DC-EAST,400,,50
JEANS-32,S-BERLIN,12,2,
JEANS-32,S-MUNICH,9,2,
JEANS-32,W-LINZ,200,,
JEANS-32,S-VIENNA,40,2,
JEANS-32,S-GRAZ,15,2,
JEANS-34,DC-WEST,380,,
JEANS-34,S-BERLIN,7,2,
SHIRT-RED-M,DC-EAST,900,,
SHIRT-RED-M,DC-WEST,750,,
SHIRT-RED-M,W-LINZ,300,,
SHIRT-RED-M,S-VIENNA,20,3,
SHIRT-RED-M,S-GRAZ,25,3,
MUG,DC-EAST,250,,
MUG,W-LINZ,500,,
MUG,S-VIENNA,60,,
MUG,S-GRAZ,30,,
COAT-L,DC-WEST,120,,
COAT-L,S-MUNICH,4,1,
PERFUME-50,S-BERLIN,30,5,
PERFUME-50,S-VIENNA,25,5,
COFFEE,S-BERLIN,18000,1000,
""",
    "network/network.toml": """\
currency = "EUR"
default_profile = "standard"
rejection_days = 7

[calendars.weekdays]
weekdays = [1, 2, 3, 4, 5] # 1 is Monday
closed = [2026-12-25, 2027-01-01]

[calendars.shop]
weekdays = [1, 2, 3, 4, 5, 6]
closed = [2026-12-25, 2027-01-01]

[channels]
web-de = ["germany"]
web = ["germany", "austria"]

[carriers.parcel]
calendar = "weekdays"
refuses = ["flammable"]

[carriers.courier]
calendar = "shop"
""",
    "network/locations.csv": """\
location_id,latitude,longitude,calendar,carrier,methods,time_zone,cut_off,handling_days,units_per_day,\
handling_cost,setup_cost,pickup_cost,restrictions,opens,closes,pickup_minutes
DC-EAST,51.34,12.37,weekdays,parcel,ship,Europe/Berlin,16:00,0,5000,0.15,0.90,,,,,
DC-WEST,51.51,7.47,weekdays,parcel,ship,Europe/Berlin,15:00,0,4000,0.15,0.90,,,,,
W-LINZ,48.31,14.29,weekdays,parcel,ship,Europe/Vienna,16:00,0,3000,0.15,0.90,,,,,
S-BERLIN,52.52,13.40,shop,courier,ship|pickup|ship_to_store|delivery,Europe/Berlin,14:00,0,80,0.35,1.80,0.50,flammable,\
10:00,20:00,60
S-MUNICH,48.14,11.58,shop,parcel,ship|pickup|ship_to_store,Europe/Berlin,14:00,1,60,0.35,1.80,0.50,,10:00,20:00,90
S-VIENNA,48.21,16.37,shop,parcel,ship|pickup|ship_to_store,Europe/Vienna,14:00,0,80,0.35,1.80,0.50,flammable,\
09:00,19:00,60
S-GRAZ,47.07,15.44,shop,,pickup|ship_to_store,Europe/Vienna,,,,0.35,,0.50,,09:00,18:00,60
""",
    "network/zones.csv": """\
carrier,zone,km_max,transit_days
parcel,1,300,1
parcel,2,700,2
parcel,3,,3
courier,1,30,0
courier,2,500,1
courier,3,,2
""",
    "network/rates.csv": """\
carrier,method,zone,above_grams,to_grams,base,per_kilogram
parcel,ship,1,0,5000,4.20,0.10
parcel,ship,1,5000,,5.90,0.20
parcel,ship,2,,,5.10,0.25
parcel,ship,3,,,6.90,0.40
courier,ship,1,,,6.50,0.20
courier,ship,2,,,9.80,0.60
courier,ship,3,,,14.00,0.90
courier,delivery,1,,,7.90,0.10
""",
    "network/lanes.csv": """\
from_location_id,to_location_id,base,per_kilogram,days
DC-EAST,S-BERLIN,0.80,0.05,1
DC-WEST,S-MUNICH,1.10,0.05,2
DC-EAST,S-VIENNA,1.60,0.08,3
W-LINZ,S-VIENNA,0.90,0.05,1
W-LINZ,S-GRAZ,0.90,0.05,1
""",
    "network/skus.csv": """\
sku_id,weight_milligrams,restrictions,unfilled_cost
PERFUME-50,280000,flammable,25.00
COAT-L,1450000,,80.00
""",
    "network/places.csv": """\
place,latitude,longitude
10115,52.53,13.38
80331,48.14,11.57
50667,50.94,6.96
1010,48.21,16.37
8010,47.07,15.44
""",
    "network/profiles/standard.toml": """\
name = "standard"
version = 1

[costs] # in the currency of the network
split = "1.50"
late_day = "4.00"
unfilled = "50.00"

[rules]
max_shipments = 3
max_distance = { km = 1500, strength = "soft" }
""",
    "network/profiles/express.toml": """\
name = "express"
version = 1

[weights]
lateness = 3

[rules]
max_shipments = 2
promise = { strength = "hard" }
""",
}


def write_example(folder: Path) -> str:
    """Write the files; returns the command that loads them. LoadError if one is there already."""
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise LoadError(f"{folder / taken[0]}: is there already; give a new folder. Nothing was written.")
    try:
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise LoadError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    tables = " ".join(f"--{name} {folder / name}.csv" for name in ("locations", "skus", "levels"))
    return f"onhand load {tables} --network {folder / 'network'}"
